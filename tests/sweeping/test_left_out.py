"""Trials that cannot be trained: settings that are not valid together, and trials of other programs."""

import optuna
import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import study
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.run import Request, preview
from asyncrl.sweeping.study_file import open_or_create
from tests.sweeping.fakes import FakeExecutor
from tests.sweeping.test_search import search
from tests.sweeping.test_search_runs import BASE, LR, table

# a value method takes no network with a separate critic
TOGETHER = table({"algo": ["a3c", "one-step-q"], "network": ["mlp", "mlp-separate"]}, n=12)


def values(root):
    return {trial.number: trial.value for trial in open_or_create(root).trials}


def test_search_proposes_settings_that_are_not_valid_together_leaves_them_out(train, tmp_path):
    train.behaviour = {"score": lambda table: 70.0 if table["algo"] == "a3c" else 30.0}
    results = [train(TOGETHER) for _ in range(2)]
    for result in results:
        numbers = [number for number, _ in result.left_out]
        assert numbers
        assert result.code == Exit.OK
        assert result.progress.finished == result.progress.total == 12 - len(numbers)
        assert all("use it with a3c or a2c" in reason for _, reason in result.left_out)
    told = values(tmp_path / "s")
    # the worst score of the search
    assert {told[number] for number in numbers} == {15.0}
    assert not set(numbers) & {trial.number for trial in study.trials(tmp_path / "s")}
    assert len(set(train.started["s"])) == len(train.started["s"]) == 3


def test_preview_of_a_search_leaves_out_settings_that_are_not_valid_together(train, tmp_path):
    train(TOGETHER)
    plan = preview(Request(parse(TOGETHER), "", tmp_path / "s"))
    assert (plan["proposed"], plan["finished"], plan["frames_left"]) == (12, 3, 0)


def enqueue(root, *settings):
    stored = open_or_create(root)
    for each in settings:
        stored.enqueue_trial(each)


def test_search_trains_the_settings_that_another_program_enqueued(train, tmp_path):
    vary = LR | {"t_max": {"low": 2, "high": 20}, "algo": ["a3c", "n-step-q"]}
    train(table(vary, n=1))
    # The second has the settings that the sampler proposes for the rest.
    enqueue(tmp_path / "s", {"optimizer.lr": 2e-3, "t_max": 7, "algo": '["n-step-q"]'}, {"t_max": 9})
    assert preview(Request(parse(table(vary, n=4)), "", tmp_path / "s"))["frames_left"] == 3 * 6000
    result = train(table(vary, n=4))
    assert (result.code, result.progress.finished, result.left_out) == (Exit.OK, 4, ())
    found = {trial.number: trial.settings for trial in study.trials(tmp_path / "s")}
    assert found[1] == {"optimizer.lr": 2e-3, "t_max": 7, "algo": "n-step-q"}
    assert found[2]["t_max"] == 9
    assert len(found) == 4


def test_search_takes_a_trial_that_is_enqueued_while_it_trains(tmp_path):
    class Enqueuing(FakeExecutor):
        def submit(self, task):
            super().submit(task)
            if len(self.started) == 2:
                enqueue(tmp_path, {"optimizer.lr": 2e-3})

    search(tmp_path, Enqueuing(), parse(table(n=4)))
    found = {trial.number: trial.settings for trial in study.trials(tmp_path)}
    assert found[2] == {"optimizer.lr": 2e-3}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"optimizer.lr": 5.0}, "it was enqueued with optimizer.lr = 5.0, which is not from 1e-05 to 0.1"),
        ({"optimizer.lr": "x"}, "it was enqueued with optimizer.lr = x, which is not from 1e-05 to 0.1"),
        ({"algo": "a3c"}, 'it was enqueued with algo = a3c, which is not one of ["a3c"] ["n-step-q"]'),
        ({"gamma": 0.9}, "it was enqueued with gamma, which this search does not vary"),
    ],
)
def test_search_leaves_out_an_enqueued_trial_outside_of_its_space(settings, told, train, tmp_path):
    vary = LR | {"algo": ["a3c", "n-step-q"]}
    train(table(vary, n=1))
    enqueue(tmp_path / "s", settings)
    for _ in range(2):
        result = train(table(vary))
        assert result.left_out == ((1, told),)
        assert (result.code, result.progress.finished, result.progress.total) == (Exit.OK, 2, 2)


def test_search_leaves_out_a_trial_that_another_program_added(train, tmp_path):
    vary = {"algo": ["a3c", "n-step-q"]}
    train(table(vary, n=1))
    kind = optuna.distributions.FloatDistribution(0, 1)
    added = optuna.create_trial(params={"gamma": 0.5}, distributions={"gamma": kind}, value=1e9)
    open_or_create(tmp_path / "s").add_trial(added)
    result = train(table(vary))
    ((number, reason),) = result.left_out
    assert number == 1
    assert reason.startswith("it was added with ")
    assert result.best["value"] < 1e9
    assert result.progress.finished == result.progress.total == 2


class FirstFails(FakeExecutor):
    """The run of the first trial fails before its first evaluation; the others have -20."""

    def submit(self, task):
        self._failing = [task.name] if task.name == (self.started or [task.name])[0] else []
        self._score = lambda table: -20.0
        super().submit(task)
        if self._failing:
            (task.root / task.name / "evaluations.jsonl").write_text("")


def test_search_failed_trial_before_any_score_waits_for_the_worst_one(tmp_path):
    search(tmp_path, FirstFails(), parse(table(n=4)))
    assert values(tmp_path) == dict.fromkeys(range(4), -20.0)


def test_search_without_any_score_has_no_best_trial(train, tmp_path):
    executor = FirstFails()
    outcome = search(tmp_path / "s", executor, parse(table(n=1)))
    assert (outcome.code, study.trials(tmp_path / "s")) == (Exit.SWEEP_INCOMPLETE, [])
    assert train(table(n=1)).progress.finished == 1


def test_search_without_evaluations_is_refused(train, tmp_path):
    with pytest.raises(InputError, match=r"evaluation\.episodes must be 1 or more"):
        train(table(base=BASE | {"evaluation.episodes": 0}))
    assert list(tmp_path.iterdir()) == []


def test_confirm_trains_settings_whose_values_are_lists(train):
    result = train(
        table({"exploration.final": [[0.1, 0.01, 0.5], [0.2, 0.02, 0.5]]}, base=BASE | {"algo": "one-step-q"}),
        confirm=2,
    )
    assert [each.seeds for each in result.confirmed] == [10] * len(result.confirmed)
