"""The command is killed and stopped, at any time: what is left, and what goes on from it."""

import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from asyncrl.config import ALGOS
from asyncrl.store.checkpoint import load
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.store.runs import current_document, list_runs
from tests.faults.launch import arguments, group, launched
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_600), pytest.mark.usefixtures("nothing_left")]


def test_no_worker_outlives_a_parent_that_is_killed_at_any_time(faults, tmp_path):
    fault, chance = "SIGKILL to the parent, also while it starts", random.Random(1)
    for i in range(faults.times(3, 20)):
        with launched(arguments(tmp_path, f"run-{i}"), tmp_path / "said") as process:
            time.sleep(8 * chance.random())
            faults.inject(fault)
            process.kill()
            assert wait_until(lambda: not group(process.pid), seconds=2), "a process outlived its parent"
        for run in list_runs(tmp_path):
            assert current_document(run)["status"] == "crashed"
            read_rows(run, "episodes")
        faults.survive(fault)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        pytest.param([signal.SIGINT], 130, id="SIGINT"),
        pytest.param([signal.SIGINT, signal.SIGINT], 130, id="SIGINT twice"),
        pytest.param([signal.SIGTERM], 143, id="SIGTERM"),
    ],
)
def test_a_signal_stops_a_run_with_a_checkpoint(faults, tmp_path, numbers, code):
    fault = " and again ".join(number.name for number in numbers)
    for i in range(faults.times(1, 10)):
        run = tmp_path / f"run-{i}"
        with launched(arguments(tmp_path, run.name, "checkpoints.every=1k"), tmp_path / "said") as process:
            assert wait_until(lambda: read_rows(run, "metrics") and list(run.glob("checkpoints/0*")), 60)  # noqa: B023
            faults.inject(fault)
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.02)
            assert process.wait(10) == code
            assert wait_until(lambda: not group(process.pid), seconds=2)
        assert read_document(run)["status"] == "interrupted"
        assert load(run).step > 0
        assert "Traceback" not in (tmp_path / "said").read_text()
        faults.survive(fault)


def test_threads_that_environments_leave_behind_do_not_hold_up_the_end(faults, tmp_path):
    fault, run = "SIGINT where processes do not end by themselves", tmp_path / "mine"
    command = arguments(tmp_path, env="tests.runtime.toys:Lingering", threads=3)
    with launched(command, tmp_path / "said") as process:
        assert wait_until(lambda: read_rows(run, "metrics"), 60)
        faults.inject(fault)
        process.send_signal(signal.SIGINT)
        assert wait_until(lambda: process.poll() == 130, seconds=20), "each was waited for in turn"
        assert wait_until(lambda: not group(process.pid), seconds=2)
    faults.survive(fault)


def test_an_environment_that_fails_in_every_reset_ends_the_run_and_is_named(faults, tmp_path):
    fault = "the environment raises in every reset"
    for i in range(faults.times(1, 20)):
        command = arguments(tmp_path, f"run-{i}", env="tests.runtime.toys:Stillborn")
        faults.inject(fault)
        with launched(command, tmp_path / f"said-{i}") as process:
            assert process.wait(60) == 4
            assert wait_until(lambda: not group(process.pid), seconds=2)
        assert "no licence" in (tmp_path / f"said-{i}").read_text()
        assert "no licence" in read_document(tmp_path / f"run-{i}")["reason"]
        faults.survive(fault)


CASES = [
    pytest.param(env, algo, network, id=f"{env}-{algo}-{network}")
    for env in ("CartPole-v1", "pong", "breakout", "qbert")
    for algo in ALGOS
    for network in (("mlp", "mlp-lstm") if env == "CartPole-v1" else ("nips", "nips-lstm"))
]
FEW = {("CartPole-v1", "one-step-sarsa", "mlp"), ("qbert", "a3c", "nips-lstm")}


@pytest.mark.parametrize(("env", "algo", "network"), CASES)
def test_a_run_that_was_stopped_and_one_that_was_killed_end_bit_for_bit_as_if_nothing_had_happened(
    faults, tmp_path, env, algo, network
):
    if not faults.times((env, algo, network) in FEW, True):
        pytest.skip("at full length only")
    frames = 3_000 if env == "CartPole-v1" else 6_000
    options = {"env": env, "algo": algo, "network": network, "threads": 1, "frames": frames}
    for name in ("straight", "SIGTERM", "SIGKILL"):
        settings = f"checkpoints.every={frames // 5}", f"target_frames={frames // 7}"
        command = arguments(tmp_path, name, *settings, **options)
        run = tmp_path / name
        with launched(command, tmp_path / "said") as process:
            if name == "straight":
                assert process.wait(120) == 0, (tmp_path / "said").read_text()
                continue
            fault = f"{name} and resume, one worker"
            assert wait_until(lambda: has_saved(run), 60)  # noqa: B023
            faults.inject(fault)
            process.send_signal(signal.Signals[name])
            process.wait(20)
        assert read_document(run)["status"] != "finished", "it was too fast to be struck"
        resume = [sys.executable, "-m", "asyncrl", "resume", str(run)]
        done = subprocess.run(resume, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert_same(tmp_path / "straight", run)
        faults.survive(fault)


def has_saved(run):
    return len(list(run.glob("checkpoints/0*"))) >= 2


def assert_same(run, other):
    """See that two runs ended alike in everything but time."""
    mine, theirs = load(run), load(other)
    assert mine.step == theirs.step
    assert mine.workers == theirs.workers
    assert mine.tensors.keys() == theirs.tensors.keys()
    for name, tensor in mine.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name
    games, others = ([row | {"seconds": 0} for row in read_rows(one, "episodes")] for one in (run, other))
    assert games == others
    assert not read_rows(other, "failures")
