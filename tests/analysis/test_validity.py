import json
import shutil

import pytest

from asyncrl.analysis import validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import lines, stamp, straight, write


def comparison(root, **options):
    return validity.build_comparison(load(Selection(root)), **options)


def problem_texts(found, kind):
    return {row["run"]: row["text"] for _, row in found.problems.iterrows() if row["kind"] == kind}


def rewrite(run, name, change):
    rows = [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]
    lines(run, name, [change(row) for row in rows])


@pytest.fixture
def root(tmp_path):
    """A store of two sound runs, to which a test adds what is wrong."""
    for seed in (1, 2):
        write(tmp_path, f"sound-{seed}", straight(-21, 5 * seed), seed=seed)
    return tmp_path


def test_valid_runs_are_all_used_without_problems(root):
    found = comparison(root)
    assert sorted(found.runs.index) == ["sound-1", "sound-2"]
    assert found.problems.empty
    assert found.runs["timed"].all()


def test_evaluations_by_another_protocol_are_left_out_and_named(root):
    run = write(root, "mixed", straight(-21, 7), seed=3)
    rewrite(run, "evaluations", lambda row: row | ({"protocol": "human-starts"} if row["mean"] > 0 else {}))
    found = comparison(root)
    assert found.evaluations.query("run == 'mixed'")["mean"].max() <= 0
    assert "with protocol human-starts in a run with atari-paper-noop" in problem_texts(found, "protocol")["mixed"]


def test_a_run_whose_evaluations_are_all_by_another_protocol_has_no_score(tmp_path):
    run = write(tmp_path, "one", straight(-21, 7))
    rewrite(run, "evaluations", lambda row: row | {"protocol": "human-starts"})
    found = comparison(tmp_path)
    assert found.evaluations.empty
    assert problem_texts(found, "evaluations") == {"one": "it has no evaluation, so it has no score"}


def test_a_run_that_says_one_protocol_and_is_set_to_another_is_left_out(root):
    write(root, "sticky", straight(-21, 7), seed=3, atari={"protocol": "sticky"})
    found = comparison(root)
    assert "sticky" not in found.runs.index
    assert "atari-sticky-noop" in problem_texts(found, "protocol")["sticky"]


def test_two_protocols_are_two_tasks(root):
    write(root, "sticky", straight(-21, 7), seed=3, atari={"protocol": "sticky"}, protocol="atari-sticky-noop")
    assert set(comparison(root).runs["task"]) == {"pong, atari-paper-noop", "pong, atari-sticky-noop"}


@pytest.mark.parametrize("name", ["evaluations", "metrics"])
def test_frames_that_are_steps_are_caught(root, name):
    run = write(root, "units", straight(-21, 7), seed=3)
    rewrite(run, name, lambda row: row | {"frames": row["steps"]})
    found = comparison(root)
    assert "units" not in found.runs.index
    assert problem_texts(found, "units") == {"units": f"excluded: frames in its {name} are not 4 times the steps"}


def test_an_atari_run_of_one_frame_a_step_is_caught(root):
    run = write(root, "units", straight(-21, 7), seed=3)
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"frames_per_step": 1}))
    for name in ("evaluations", "metrics"):
        rewrite(run, name, lambda row: row | {"frames": row["steps"]})
    assert "frames_per_step 1" in problem_texts(comparison(root), "units")["units"]


def test_the_same_seed_twice_is_one_sample(root):
    write(root, "z-again", straight(-21, 9), seed=1)
    found = comparison(root)
    assert sorted(found.runs.index) == ["sound-1", "sound-2"]
    assert "sound-1 has the same settings and seed" in problem_texts(found, "seeds")["z-again"]


def test_of_a_seed_that_was_broken_off_and_run_again_the_finished_run_stays(root):
    run = write(root, "a-first", straight(-21, 9), seed=1, status="interrupted")
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"started": "2020-01-01T00:00:00+00:00"}))
    provenance(run, started="2020-01-01T00:00:00+00:00")
    assert "sound-1 has the same settings" in problem_texts(comparison(root, unfinished=True), "seeds")["a-first"]


def test_a_game_by_another_name_is_the_same_game(root):
    write(root, "z-again", straight(-21, 9), seed=1, env="ALE/Pong-v5")
    assert "sound-1 has the same settings and seed" in problem_texts(comparison(root), "seeds")["z-again"]


def test_the_same_seed_with_other_settings_is_another_sample(root):
    write(root, "other", straight(-21, 9), seed=1, lr=1e-3)
    assert "other" in comparison(root).runs.index


@pytest.mark.parametrize("change", [{"seed": 99}, {"seed": 99, "gamma": 0.9}, {"algo": "n-step-q"}])
def test_a_copy_under_other_settings_is_one_sample(root, change):
    shutil.copytree(root / "sound-1", root / "z-copy")
    document = json.loads((root / "z-copy" / "run.json").read_text())
    document["config"] |= change
    (root / "z-copy" / "run.json").write_text(json.dumps(document))
    found = comparison(root)
    assert "z-copy" not in found.runs.index
    assert "identical to those of sound-1" in problem_texts(found, "seeds")["z-copy"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"seconds": 1.8e9 + row["seconds"]},  # the time of day
        lambda row: row | {"seconds": row["seconds"] * 1000},  # milliseconds
        lambda row: row | {"seconds": row["seconds"] / 60},  # minutes
        lambda row: row | {"seconds": row["seconds"] % 500},  # began anew
    ],
)
def test_a_confused_clock_keeps_a_run_out_of_everything_by_time_only(root, change):
    rewrite(write(root, "clock", straight(-21, 7), seed=3), "metrics", change)
    found = comparison(root)
    assert dict(found.runs["timed"]) == {"sound-1": True, "sound-2": True, "clock": False}
    assert "excluded from everything by time" in problem_texts(found, "clock")["clock"]


def test_machines_that_differ_are_named(root):
    write(root, "bigger", straight(-21, 7), seed=3, cores=16)
    text = problem_texts(comparison(root), "machines")[""]
    assert "A CPU, 2 cores" in text
    assert "A CPU, 16 cores" in text


def test_unfinished_runs_wait_until_they_are_asked_for_or_there_are_no_others(root):
    write(root, "stopped", straight(-21, 7), seed=3, status="interrupted")
    assert "stopped" not in comparison(root).runs.index
    assert "stopped" in comparison(root, unfinished=True).runs.index
    for run in ("sound-1", "sound-2"):
        shutil.rmtree(root / run)
    alone = comparison(root)
    assert alone.is_provisional
    assert list(alone.runs.index) == ["stopped"]


def test_evaluations_made_later_do_not_move_a_curve(root):
    row = {"kind": "eval", "protocol": "atari-paper-noop", "episodes": 100, "mean": 21.0, "median": 21.0, "std": 0.0}
    lines(root / "sound-1", "evaluations", [stamp(400_000) | row], "a")
    assert comparison(root).evaluations["mean"].max() == 10.0


@pytest.mark.parametrize("name", ["algo", "env", "seed", "optimizer"])
def test_a_run_that_does_not_say_what_it_is_is_left_out(root, name):
    run = write(root, "odd", straight(-21, 7), seed=3)
    document = json.loads((run / "run.json").read_text())
    del document["config"][name]
    (run / "run.json").write_text(json.dumps(document))
    found = comparison(root)
    assert "odd" not in found.runs.index
    assert "run.json lacks its" in problem_texts(found, "damaged")["odd"]


def test_a_run_without_evaluations_is_named(root):
    write(root, "blind", seed=3)
    assert problem_texts(comparison(root), "evaluations") == {"blind": "it has no evaluation, so it has no score"}


def test_labels_say_what_varies_and_sets_have_their_own_names(root):
    assert set(comparison(root).runs["label"]) == {"a3c"}
    write(root, "one-thread", straight(-21, 0), threads=1, envs_per_thread=8, seed=4)
    assert set(comparison(root).runs["label"]) == {"a3c, 1 env each, 2 threads", "a3c, 8 envs each, 1 thread"}
    store = load(Selection(root, compare=("slow: threads=1", "fast: threads=2")))
    assert dict(validity.build_comparison(store).runs["label"]) == {
        "sound-1": "fast",
        "sound-2": "fast",
        "one-thread": "slow",
    }


@pytest.mark.parametrize(
    ("more", "word"), [({"frames": 2_000_000}, "2M frames"), ({"t_max": 20}, "t_max 20"), ({"gamma": 0.9}, "γ 0.9")]
)
def test_runs_of_another_budget_rollout_or_discount_are_not_averaged_with_the_rest(root, more, word):
    write(root, "other", straight(-21, 0), seed=3, **more)
    labels = dict(comparison(root).runs["label"])
    assert labels["other"] == f"a3c, {word}"
    assert labels["sound-1"] == labels["sound-2"] != labels["other"]


def test_a_rollout_of_each_algorithms_own_is_not_in_its_name(root):
    write(root, "other", straight(-21, 0), algo="n-step-q", t_max=20)
    assert set(comparison(root).runs["label"]) == {"a3c", "n-step-q"}


def provenance(run, **changes):
    document = json.loads((run / "run.json").read_text())
    document["provenance"] |= changes
    (run / "run.json").write_text(json.dumps(document))


def test_runs_with_and_without_the_compiled_part_are_not_compared_by_the_clock(root):
    for seed, compiled in ((1, True), (2, False)):
        provenance(root / f"sound-{seed}", compiled=compiled)
    found = comparison(root)
    machines = {"sound-1": "A CPU, 2 cores, compiled", "sound-2": "A CPU, 2 cores, not compiled"}
    assert dict(found.runs["machine"]) == machines
    assert "; ".join(machines.values()) in problem_texts(found, "machines")[""]


@pytest.mark.parametrize(
    ("cpu", "cores", "machine"),
    [(None, None, "unknown machine"), (None, 2, "unknown processor, 2 cores"), ("A CPU", None, "A CPU")],
)
def test_a_machine_is_named_as_far_as_it_is_known(tmp_path, cpu, cores, machine):
    provenance(write(tmp_path, "one", [1.0]), cpu=cpu, usable_cores=cores)
    assert comparison(tmp_path).runs.at["one", "machine"] == machine


def test_nothing_is_a_study_too(tmp_path):
    found = comparison(tmp_path)
    assert found.runs.empty
    assert not found.is_provisional
