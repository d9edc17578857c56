"""Evaluations and checkpoints with one worker fall at the same steps in every run of a seed, killed or not."""

import os
import signal
import subprocess
import sys

import pytest

from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments, group, launched
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

PERIOD = 1_000  # frames between two evaluations
SETTINGS = (
    "evaluation.episodes=2",
    f"evaluation.every={PERIOD}",
    "checkpoints.every=700",
    "checkpoints.keep=20",
    "workers.restarts=3",
)


def command(results, algo, **options):
    table = {"env": "CartPole-v1", "algo": algo, "threads": 1, "frames": 3_300} | options
    return arguments(results, "mine", *SETTINGS, **table)


def outcome(run):
    """Return what a run's evaluations and checkpoints are, without what depends on the clock."""
    rows = [{name: row[name] for name in row if name != "seconds"} for row in read_rows(run, "evaluations")]
    steps = sorted(path.name for path in (run / "checkpoints").iterdir() if path.is_dir())
    best = checkpoints.best(run)
    return rows, steps, best, checkpoints.load(run, "best").tensors["theta"].tolist()


def train(results, algo, **options):
    subprocess.run(command(results, algo, **options), check=True, timeout=180, capture_output=True)
    return results / "mine"


def kill_and_resume(results, algo, is_time):
    """Kill the parent of a run with SIGKILL as soon as ``is_time`` says so, and resume it."""
    run = results / "mine"
    with launched(command(results, algo), results / "said") as process:
        assert wait_until(lambda: run.is_dir() and is_time(run), seconds=120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert wait_until(lambda: not group(process.pid))
    words = [sys.executable, "-m", "asyncrl", "resume", str(run)]
    subprocess.run(words, check=True, timeout=180, capture_output=True)
    return run


def has_evaluations(count):
    return lambda run: len(read_rows(run, "evaluations")) >= count


def has_checkpoints(count):
    return lambda run: len([path for path in run.glob("checkpoints/*") if path.name.isdigit()]) >= count


@pytest.mark.parametrize("algo", ["a3c", "a2c", "n-step-q", "one-step-q", "one-step-sarsa"])
def test_evaluations_of_one_worker_repeat_even_where_the_run_was_killed(tmp_path, algo):
    folders = [tmp_path / name for name in ("first", "again", "early", "late")]
    for folder in folders:
        folder.mkdir()
    first = outcome(train(folders[0], algo))
    t_max = 20 if algo in ("a3c", "a2c") else 5
    crossings = [row["steps"] for row in first[0][:-1]]
    assert len(crossings) == 3
    for number, step in enumerate(crossings, start=1):
        assert number * PERIOD <= step < number * PERIOD + t_max
    assert outcome(train(folders[1], algo)) == first
    assert outcome(kill_and_resume(folders[2], algo, has_checkpoints(1))) == first
    assert outcome(kill_and_resume(folders[3], algo, has_evaluations(2))) == first


@pytest.mark.parametrize("threads", [2, 3])
def test_several_workers_stop_at_the_first_rollout_after_the_crossing(tmp_path, threads):
    run = train(tmp_path, "a3c", threads=threads)
    rows = read_rows(run, "evaluations")[:-1]
    assert [row["steps"] // PERIOD for row in rows] == [1, 2, 3]
    assert all(row["steps"] % PERIOD < threads * 20 for row in rows)
