"""The driver of a sweep is killed and stopped, with real processes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from asyncrl.store.rows import read_rows
from tests.faults.launch import heed_signals

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CARTPOLE = """
[sweep]
seeds = 2
[base]
env = "CartPole-v1"
frames = "{frames}"
threads = 1
evaluation.every = "1k"
evaluation.episodes = 1
checkpoints.every = "1k"
[vary]
algo = ["one-step-q", "one-step-sarsa", "n-step-q", "a3c"]
"optimizer.lr" = [1e-3, 3e-3]
"""
PONG = """
[base]
env = "pong"
threads = 2
frames = "12k"
evaluation.episodes = 0
checkpoints.every = "2k"
[vary]
algo = ["a3c", "n-step-q"]
"optimizer.lr" = [1e-4, 7e-4]
"""


def start(folder, *options):
    command = [sys.executable, "-m", "asyncrl", "sweep", "s.toml", "--results", "results", *options]
    output = (folder / "log").open("a")
    return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, preexec_fn=heed_signals)


def documents(folder):
    return {file.parent.name: json.loads(file.read_text()) for file in (folder / "results/s").glob("*/run.json")}


def processes_in(folder):
    """Return the processes whose working directory is this one: those of this test's sweep alone."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # a process may end in this moment
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd") == str(folder):
                found.append(process.name)
    return found


def wait_for_end_of_runs(folder):
    """Wait until no process of the sweep is left: a killed driver's runs end with checkpoints."""
    deadline = time.monotonic() + 60
    while processes_in(folder):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(("text", "cells"), [(CARTPOLE.format(frames="4k"), 16), (PONG, 4)], ids=["cartpole", "pong"])
def test_sweep_driver_killed_at_random_moments_trains_each_cell_once(text, cells, tmp_path):
    (tmp_path / "s.toml").write_text(text)
    rng = random.Random(1)
    for _ in range(10):
        driver = start(tmp_path)
        time.sleep(rng.uniform(0.5, 6.0))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    driver = start(tmp_path)
    assert driver.wait() == 0
    found = documents(tmp_path)
    assert len(found) == cells
    assert {document["status"] for document in found.values()} == {"finished"}
    assert {document["frames"] >= document["config"]["frames"] for document in found.values()} == {True}
    # Each cell has its evaluations once, whichever session made them.
    for name in found:
        rows = read_rows(tmp_path / "results/s" / name, "evaluations")
        assert max(Counter(row["steps"] for row in rows).values(), default=0) <= 1
    before = {name: (tmp_path / "results/s" / name / "run.json").stat().st_mtime_ns for name in found}
    assert start(tmp_path).wait() == 0
    assert before == {name: (tmp_path / "results/s" / name / "run.json").stat().st_mtime_ns for name in found}
    wait_for_end_of_runs(tmp_path)


def wait_for_a_run(folder, status="running"):
    deadline = time.monotonic() + 60
    while not any(document["status"] == status for document in documents(folder).values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_sweep_second_driver_is_refused(tmp_path):
    (tmp_path / "s.toml").write_text(CARTPOLE.format(frames="200k"))
    driver = start(tmp_path)
    wait_for_a_run(tmp_path)
    second = subprocess.run(
        [sys.executable, "-m", "asyncrl", "sweep", "s.toml", "--results", "results"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert second.returncode == 2
    assert f"process {driver.pid}" in second.stderr
    driver.send_signal(signal.SIGTERM)
    assert driver.wait() == 143
    wait_for_end_of_runs(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_sweep_stopped_by_a_signal_saves_checkpoints(number, code, tmp_path):
    (tmp_path / "s.toml").write_text(CARTPOLE.format(frames="200k"))
    driver = start(tmp_path)
    wait_for_a_run(tmp_path)
    time.sleep(2)
    driver.send_signal(number)
    assert driver.wait() == code
    found = documents(tmp_path)
    assert {document["status"] for document in found.values()} == {"interrupted"}
    assert all(any((tmp_path / "results/s" / name / "checkpoints").iterdir()) for name in found)
    wait_for_end_of_runs(tmp_path)


def test_sweep_process_of_a_cell_killed_is_resumed(tmp_path):
    (tmp_path / "s.toml").write_text(
        CARTPOLE.format(frames="20k")
        .replace('["one-step-q", "one-step-sarsa", "n-step-q", "a3c"]', '["a3c"]')
        .replace("[1e-3, 3e-3]", "[1e-3]")
    )
    driver = start(tmp_path, "--jobs", "1")
    wait_for_a_run(tmp_path)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "results/s").glob("*/checkpoints/0*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pids = subprocess.run(["pgrep", "-P", str(driver.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(pids[0]), signal.SIGKILL)
    assert driver.wait() == 0
    found = documents(tmp_path)
    assert {document["status"] for document in found.values()} == {"finished"}
    assert sorted(document["sessions"] for document in found.values()) == [0, 1]
    assert "killed by signal 9; retry 1 of 2" in (tmp_path / "log").read_text()
