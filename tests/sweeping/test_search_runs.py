"""Searches from their file to their end: validation, previews, the best settings on fresh seeds, pruning."""

import json
import tomllib

import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import study
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.run import Request, preview
from asyncrl.sweeping.search import Search
from tests.sweeping.fakes import FakeExecutor
from tests.sweeping.test_search import search

BASE = {"env": "CartPole-v1", "frames": 6000, "threads": 1}
LR = {"optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True}}


def table(vary=LR, n=3, base=BASE, **more):
    return {"sweep": {"kind": "optuna", "n": n, "seeds": 1} | more, "base": base, "vary": vary}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (table(LR | {"algo": ["a3c", "n-step-qq"]}), "n-step-qq"),
        (table({"gamma": {"low": 0.9, "high": 1.5}}), r"gamma.*gamma=1\.5"),
        (table({"t_max": {"low": 1.0, "high": 32.0}}), r"t_max should be a whole number; got 32\.0"),
        (table(normalisation="human"), "normalisation must be 'none'"),
    ],
)
def test_search_with_a_wrong_value_is_refused_before_anything_is_written(wrong, message, train, tmp_path):
    with pytest.raises(InputError, match=message):
        train(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (table({"algo": ["a3c", "n-step-q", "one-step-q"]}), r"the values of algo were \['a3c', 'n-step-q'\], now"),
        (table({"algo": ["a3c", "n-step-q"]}, seeds=5), r"seeds in .sweep. was \[1\], now \[1, 2, 3, 4, 5\]"),
    ],
)
def test_search_with_other_values_or_seeds_is_another_one(changed, told, train):
    vary = {"algo": ["a3c", "n-step-q"]}
    train(table(vary, n=1))
    with pytest.raises(InputError, match=told):
        train(changed)
    assert train(table(vary, n=2)).progress.finished == 2


def test_search_whose_runs_were_trained_with_other_settings_is_refused(train, tmp_path):
    train(table())
    for file in tmp_path.glob("s/*/run.json"):
        document = json.loads(file.read_text())
        document["config"]["gamma"] = 0.5
        file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"gamma \(it was 0.5, now 0.99\)"):
        train(table(n=4))


def shown(changed, root):
    plan = preview(Request(parse(changed), "", root))
    return plan["trials"], plan["proposed"], len(plan["cells"]), plan["finished"], plan["frames_left"]


def test_preview_of_a_search_counts_the_trials_of_its_study(train, tmp_path):
    assert shown(table(seeds=2), tmp_path / "s") == (3, 0, 0, 0, 36_000)
    assert not (tmp_path / "s").exists()
    train.behaviour = {"failing": ["s2-"]}
    train(table(seeds=2))
    for file in tmp_path.glob("s/*s2-*/run.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"frames": 0}))
    # a failed cell of a trial that has its value is not trained again
    assert shown(table(seeds=2), tmp_path / "s") == (3, 3, 6, 3, 0)
    assert shown(table(seeds=2, n=5), tmp_path / "s") == (5, 3, 6, 3, 24_000)


def test_confirm_trains_distinct_settings_with_their_values(train):
    train.behaviour = {"score": lambda table: 10.0 if table["algo"] == "a3c" else 50.0}
    result = train(table({"algo": ["a3c", "n-step-q"]}, n=8), confirm=3)
    preset, best, second = result.confirmed
    assert (preset.settings, preset.searched, preset.mean, preset.seeds) == ({}, None, 10.0, 10)
    assert best == ({"algo": "n-step-q"}, 50.0, 50.0, 50.0, 50.0, 10)
    assert second == ({"algo": "a3c"}, 10.0, 10.0, 10.0, 10.0, 10)
    assert len(train.started["s-confirm"]) == 20


def test_confirm_after_a_failure_with_fail_fast_trains_nothing(train):
    train.behaviour = {"failing": ["-"]}
    result = train(table(), confirm=1, fail_fast=True)
    assert result.code == Exit.SWEEP_INCOMPLETE
    assert set(train.started) == {"s"}


def test_confirm_with_fail_fast_stops_at_its_first_failure(train):
    train.behaviour = {"failing": ["s5-"]}
    result = train(table(), confirm=1, fail_fast=True)
    assert result.code == Exit.SWEEP_INCOMPLETE
    assert len(set(train.started["s-confirm"])) == 4  # seeds 2 to 5


def test_best_settings_of_a_search_on_several_games_name_one(train, tmp_path):
    train(table(LR | {"env": ["breakout", "qbert"]}, 1, {"frames": "1M", "threads": 1}))
    text = (tmp_path / "s/best.toml").read_text()
    assert tomllib.loads(text)["env"] == "breakout"
    assert text.startswith("# Each trial of the search was trained on breakout, qbert.")


BASE_PRUNED = BASE | {"evaluation.every": 600}


def write_curve(run, scores):
    run.mkdir(exist_ok=True)
    rows = [
        {"frames": 600 * i, "steps": 600 * i, "updates": 1, "seconds": 1.0, "kind": "training", "mean": mean}
        for i, mean in enumerate(scores, 1)
    ]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class Curves(FakeExecutor):
    """Each run has ten evaluations of 50."""

    def submit(self, task):
        super().submit(task)
        write_curve(task.root / task.name, [50.0] * 10)


def test_median_pruner_stops_a_trial_whose_second_run_has_not_started(tmp_path):
    declared = parse(table(n=6, base=BASE_PRUNED, seeds=2, pruner="median"))
    search(tmp_path / "s", Curves(), parse(table(n=5, base=BASE_PRUNED, seeds=2, pruner="median")))
    source = Search(tmp_path / "s", declared, Resolver())
    cell = source.next()
    write_curve(tmp_path / "s" / cell.name, [1.0] * 3)
    assert source.to_prune([cell.name]) == []
    write_curve(tmp_path / "s" / cell.name, [1.0] * 4)
    assert source.to_prune([cell.name]) == [cell.name]
    # Killed now, the next driver trains no run of that trial any further.
    assert Search(tmp_path / "s", declared, Resolver()).next() is None
    assert study.trials(tmp_path / "s")[-1].is_pruned
