"""``benchmarks.time_to_score train``: what it refuses, and real trainings that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from asyncrl.store import runs
from asyncrl.text import count
from benchmarks.entries import ENTRIES, Library
from benchmarks.speed import ROOT
from tests.faults.launch import group, launched
from tests.runtime.setups import wait_until

OTHERS = [name for name, entry in ENTRIES.items() if isinstance(entry.method, Library)]
EVERY, FRAMES = 500, 3_000  # a frame is a step on CartPole
SECONDS = 100  # until a training has made some games


@pytest.mark.parametrize("entry", OTHERS)
@pytest.mark.parametrize("command", ["train", "rates"])
def test_library_not_installed_is_refused_with_the_extra(command, entry, time_to_score, tmp_path, monkeypatch):
    method = ENTRIES[entry].method
    monkeypatch.setitem(sys.modules, method.package, None)
    options = ["--entry", entry, "--seed", 1] if command == "train" else []
    code, out, err = time_to_score(command, tmp_path / "new", *options)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "asyncrl[bench]" in err
    assert not (tmp_path / "new").exists()


def test_train_of_an_unknown_entry_is_refused_in_one_line(time_to_score, tmp_path):
    code, _, err = time_to_score("train", tmp_path, "--entry", "ppo", "--seed", 1)
    assert code == 2
    assert len(err.splitlines()) == 1


def test_train_of_an_unknown_environment_is_refused_before_anything_is_written(time_to_score, tmp_path):
    code, _, err = time_to_score("train", tmp_path / "new", "--entry", "a3c-fast", "--seed", 1, "--env", "pogn")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_train_of_a_run_that_another_process_trains_is_refused(time_to_score, tmp_path):
    run = tmp_path / "a3c-fast-pong-s1"
    run.mkdir()
    with runs.hold(run):
        code, _, err = time_to_score("train", tmp_path, "--entry", "a3c-fast", "--seed", 1, "--frames", 1)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert run.exists()


def command(folder, entry, *options):
    """Return the command line of a short training on CartPole."""
    words = [sys.executable, "-m", "benchmarks.time_to_score", "train", str(folder), "--entry", entry, "--seed", "1"]
    return [*words, "--env", "CartPole-v1", "--frames", str(FRAMES), "--every", str(EVERY), *options]


def rows(folder):
    """Return the whole rows of the games."""
    file = folder / "episodes.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


def checkpoint(folder):
    """Return the steps of the newest checkpoint, 0 without one."""
    names = [path.name.rpartition("-")[2] for path in folder.glob("checkpoint-*")]
    return max(map(int, names), default=0)


def last_steps(folder):
    """Return the steps at the end of the last game, 0 without one."""
    return max((row["steps"] for row in rows(folder)), default=0)


def goes_beyond_a_new_checkpoint(folder, saved=0):
    """Return whether games have ended after a checkpoint that is newer than one with ``saved`` steps."""
    return last_steps(folder) > checkpoint(folder) > saved


def finish(tmp_path, entry):
    """Run the command to its end; return what it printed."""
    done = subprocess.run(command(tmp_path, entry), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("entry", OTHERS)
def test_training_of_a_library_killed_goes_on_from_its_checkpoint(entry, faults, tmp_path, nothing_left):
    pytest.importorskip(ENTRIES[entry].method.package)
    folder = tmp_path / f"{entry}-cartpole-v1-s1"
    saved = 0
    for _ in range(times := faults.times(2, 4)):
        faults.inject(f"{entry}: killed")
        with launched(command(tmp_path, entry), tmp_path / "log") as training:
            assert wait_until(partial(goes_beyond_a_new_checkpoint, folder, saved), SECONDS)
            training.send_signal(signal.SIGKILL)
            training.wait()
            # the processes of PFRL end with it
            assert wait_until(lambda process=training: not group(process.pid), 10)
        killed, saved = rows(folder), checkpoint(folder)
    first, *_, last = finish(tmp_path, entry)
    assert f"{count(saved)} of {count(FRAMES)} frames" in first
    assert f"{count(checkpoint(folder))} of {count(FRAMES)} frames" in last
    assert checkpoint(folder) >= FRAMES
    found = rows(folder)
    kept = [row for row in killed if row["steps"] <= saved]
    removed = [row for row in killed if row["steps"] > saved]
    assert found[: len(kept)] == kept
    # a game that began after the checkpoint is no game that ended soon after it
    assert found[len(kept)] != removed[0]
    for worker in {row["worker"] for row in found}:
        own = [row["steps"] for row in found if row["worker"] == worker]
        assert own == sorted(own)
    faults.survive(f"{entry}: killed", times)
    before = (folder / "episodes.jsonl").read_bytes()
    finish(tmp_path, entry)
    assert (folder / "episodes.jsonl").read_bytes() == before


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_training_of_pfrl_ends_where_one_of_its_processes_is_killed(faults, tmp_path, nothing_left):
    pytest.importorskip("pfrl")
    entry = "pfrl-a3c"
    folder = tmp_path / f"{entry}-cartpole-v1-s1"
    faults.inject("pfrl-a3c: one process killed")
    with launched(command(tmp_path, entry), tmp_path / "log") as training:
        assert wait_until(partial(goes_beyond_a_new_checkpoint, folder), SECONDS)
        os.kill(max(group(training.pid) - {training.pid}), signal.SIGKILL)
        assert training.wait(30) == 1
        assert wait_until(lambda: not group(training.pid), 10)
    assert "killed" in (tmp_path / "log").read_text().splitlines()[-1]
    finish(tmp_path, entry)
    faults.survive("pfrl-a3c: one process killed")


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_training_of_a_library_whose_checkpoint_is_damaged_is_refused_in_one_line(faults, tmp_path):
    pytest.importorskip("stable_baselines3")
    (tmp_path / "sb3-a2c-cartpole-v1-s1" / "checkpoint-2000").mkdir(parents=True)
    (tmp_path / "sb3-a2c-cartpole-v1-s1" / "checkpoint-2000" / "training.pt").write_bytes(b"damage")
    faults.inject("sb3-a2c: checkpoint damaged")
    done = subprocess.run(command(tmp_path, "sb3-a2c"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "checkpoint-2000" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    faults.survive("sb3-a2c: checkpoint damaged")


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_training_of_asyncrl_killed_is_resumed_and_ends_at_its_budget(faults, tmp_path, nothing_left):
    folder = tmp_path / "n-step-q-fast-cartpole-v1-s1"
    faults.inject("n-step-q-fast: killed")
    with launched(command(tmp_path, "n-step-q-fast", "--frames", "1000000"), tmp_path / "log") as training:
        assert wait_until(lambda: list(folder.glob("checkpoints/*")), SECONDS)
        time.sleep(0.5)
        training.send_signal(signal.SIGKILL)
        training.wait()
        assert wait_until(lambda: not group(training.pid), 10)
    more = last_steps(folder) + 5_000
    done = subprocess.run(
        command(tmp_path, "n-step-q-fast", "--frames", str(more)), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert abs(last_steps(folder) - more) < 2_000
    faults.survive("n-step-q-fast: killed")
