"""Trackers: the numbers that they get, and that none ends a training."""

import json
import warnings

import pytest

from asyncrl.analysis.identity import identity
from asyncrl.config import RunConfig
from asyncrl.store.rows import read_rows
from asyncrl.training import writing

RUN = ("run", "--env", "tests.toys:Corridor", "--threads", "1", "--frames", "300", "--set", "evaluation.episodes=2")
STAMP = {"frames": 400, "steps": 100, "updates": 20, "seconds": 2.5}
METRICS = {"frames_per_second": 160.0, "learning_rate": 1e-3, "skipped": 0, "restarts": 1, "entropy": 0.5, "loss": None}
METRICS |= {"policy_lag": 2.0, "lag_1": 7, "act_us": 12.0, "value": float("nan")}


@pytest.fixture
def command(tmp_path, monkeypatch, command_line):
    """Return a function that runs a command line in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return command_line


def lines(run):
    return [json.loads(line) for line in (run / "Lines.txt").read_text().splitlines()]


def writer(run, *trackers, frames=0):
    """Return the writer of a session with these trackers."""
    run.mkdir(exist_ok=True)
    config = RunConfig(trackers=[f"tests.trackers:{name}" for name in trackers]).model_dump(mode="json")
    return writing.begin(run, 1.0, {"config": config, "frames": frames})


def test_rows_reach_a_tracker_under_the_tags_of_stable_baselines3(tmp_path):
    with writer(tmp_path / "one", "Lines", frames=100) as opened:
        for score in range(201):
            opened.append("episodes", STAMP | {"score": float(score), "length": score + 1, "epsilon": 0.25})
        opened.append("metrics", STAMP | METRICS)
        opened.append("evaluations", STAMP | {"mean": 3.0, "lengths": [10, 20], "kind": "training"})
        opened.append("failures", STAMP | {"reason": "a test"})
    first, metrics, evaluation, last = lines(tmp_path / "one")
    assert first == {"run": "one", "frames": 100, "lr": 7e-4}
    assert metrics == {
        "step": 400,
        "values": {
            "time/fps": 160.0, "time/time_elapsed": 2.5, "time/act_us": 12.0, "train/n_updates": 20.0,
            "train/learning_rate": 1e-3, "train/skipped": 0.0, "train/restarts": 1.0, "train/entropy": 0.5,
            "train/policy_lag": 2.0, "rollout/ep_rew_mean": 150.5, "rollout/ep_len_mean": 151.5,
            "rollout/exploration_rate": 0.25,
        },
    }  # fmt: skip
    assert evaluation == {"step": 400, "values": {"eval/mean_reward": 3.0, "eval/mean_ep_length": 15.0}}
    assert last == {"closed": True}
    assert [row["score"] for row in read_rows(tmp_path / "one", "episodes")] == list(range(201))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Unmade", "The tracker tests.trackers:Unmade cannot be made: ConnectionError: no network"),
        ("Exiting", "The tracker tests.trackers:Exiting cannot log: it called sys.exit('no account')"),
        ("Unclosed", "The tracker tests.trackers:Unclosed cannot close: OSError: no answer"),
        ("nothing", "The tracker tests.trackers:nothing cannot log: AttributeError"),
    ],
)
def test_tracker_that_raises_is_one_warning_and_the_others_go_on(tmp_path, name, message):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with writer(tmp_path / "one", name, "Lines") as opened:
            for frames in (4, 8, 12):
                opened.append("metrics", STAMP | METRICS | {"frames": frames})
    (warning,) = [str(each.message) for each in caught if each.category is UserWarning]
    assert message in warning
    assert warning.endswith("It is left out, and the training continues.")
    tracked = lines(tmp_path / "one")
    assert {4, 8, 12} <= {line.get("step") for line in tracked}
    assert tracked[-1] == {"closed": True}
    assert len(read_rows(tmp_path / "one", "metrics")) == 3


# It starts many processes.
@pytest.mark.faults
@pytest.mark.timeout(100)
def test_run_and_resume_continue_one_log(command, tmp_path):
    words = ("--tracker", "tests.trackers:Lines", "--tracker", "tests.trackers:Exiting", "--name", "one")
    code, _, err = command(*RUN, *words)
    assert code == 0, err
    assert err.count("\n") == 1
    assert "tests.trackers:Exiting cannot log: it called sys.exit('no account') (" in err
    assert "tests/trackers.py:" in err
    run = tmp_path / "results/one"
    steps = [line["step"] for line in lines(run) if "step" in line]
    assert steps[-1] == read_rows(run, "metrics")[-1]["frames"]
    written = (run / "run.json").read_text()
    assert json.loads(written)["config"]["trackers"] == list(words[1:4:2])
    code, _, err = command("resume", "one", "--frames", "600", "--tracker", "tests.trackers:Linse")
    assert (code, err.count("\n")) == (2, 1), err
    assert (run / "run.json").read_text() == written
    code, _, err = command("resume", "one", "--frames", "600", *words[:2])
    assert code == 0, err
    assert "tracker" not in err
    assert json.loads((run / "run.json").read_text())["config"]["trackers"] == [words[1]]
    again = lines(run)
    opened = [line["frames"] for line in again if "run" in line]
    assert opened == [0, steps[-1]]
    logged = [line["step"] for line in again if "eval/mean_reward" not in line.get("values", {}) and "step" in line]
    assert logged == sorted(logged)
    assert logged[-1] >= 600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "trackers.0 is 'wandb'; it can be tensorboard or module:Name"),
        ("no_such_module:Tracker", "Cannot import 'no_such_module'"),
        ("tests.trackers:Linse", "has no class or function 'Linse'. Did you mean 'Lines'?"),
    ],
)
def test_unknown_tracker_is_refused_before_anything_is_written(command, tmp_path, name, message):
    code, _, err = command(*RUN, "--tracker", name)
    assert (code, err.count("\n")) == (2, 1), err
    assert message in err
    assert not (tmp_path / "results").exists()


def test_tensorboard_without_its_package_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.setattr("asyncrl.training.tracking.find_spec", lambda name: None)
    code, _, err = command(*RUN, "--tracker", "tensorboard")
    assert (code, err.count("\n")) == (2, 1), err
    assert "pip install 'asyncrl[tensorboard]'" in err


def test_trackers_are_no_part_of_what_makes_runs_equal():
    plain, tracked = (RunConfig(trackers=names).model_dump(mode="json") for names in ((), ("tensorboard",)))
    assert identity(plain, {}) == identity(tracked, {})


def read_events(run):
    """Return what TensorBoard shows of a run: by tag the frames and values."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run))
    events.Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_rows_of_both_sessions_and_drops_later_ones(tmp_path):
    pytest.importorskip("tensorboard")
    run, config = tmp_path / "one", RunConfig(trackers=["tensorboard"]).model_dump(mode="json")
    run.mkdir()
    for session, (frames, logged) in enumerate(((0, (4, 8, 12)), (9, (10, 14)))):
        with writing.begin(run, 1.0, {"config": config, "frames": frames}) as opened:
            for each in logged:
                opened.append("metrics", STAMP | METRICS | {"frames": each, "entropy": float(session)})
    shown = read_events(run)
    assert shown["train/entropy"] == [(4, 0.0), (8, 0.0), (10, 1.0), (14, 1.0)]
    assert {"time/fps", "train/learning_rate", "train/n_updates"} <= set(shown)
