"""Runs in simulated time, killed and stopped at any instant, end with the weights of a run that never was."""

import os
import re
import signal
import subprocess
import sys

import pytest
import torch

from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments, group, launched
from tests.runtime.setups import actor, prepare, same, wait_until
from tests.runtime.test_simulated_time import simulate

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SETTINGS = ("evaluation.episodes=1", "evaluation.every=1000", "checkpoints.every=500", "simulated.jitter=0.3")


def command(results, *settings, **options):
    table = {"env": "CartPole-v1", "algo": "a3c", "threads": 4, "frames": 8_000, "clock": "simulated"} | options
    return arguments(results, "mine", *SETTINGS, *settings, **table)


def train(results, *settings, **options):
    subprocess.run(command(results, *settings, **options), check=True, timeout=300, capture_output=True)
    return results / "mine"


def resume(run):
    words = [sys.executable, "-m", "asyncrl", "resume", str(run)]
    return subprocess.run(words, check=True, timeout=300, capture_output=True)


def outcome(run):
    """Return the weights of a run, and its episodes and evaluations, with their virtual seconds."""
    tensors = checkpoints.load(run).tensors
    rows = {name: read_rows(run, name) for name in ("episodes", "evaluations")}
    return {name: tensors[name].tolist() for name in ("theta", "optimizer_state")}, rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the outcome of a run that was never stopped."""
    run = train(tmp_path_factory.mktemp("whole"))
    assert read_document(run)["clock"] == "simulated"
    assert "exact_until" not in read_document(run)
    return outcome(run)


def has_checkpoints(run, steps):
    return lambda: run.is_dir() and checkpoints.count(run) and checkpoints.load(run).step >= steps


@pytest.mark.parametrize("steps", [0, 1_500])
def test_simulated_run_killed_resumes_bit_for_bit(faults, tmp_path, whole, steps):
    faults.inject("a simulated run is killed")
    with launched(command(tmp_path), tmp_path / "said") as process:
        assert wait_until(has_checkpoints(tmp_path / "mine", steps), seconds=200)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert wait_until(lambda: not group(process.pid))
    resume(tmp_path / "mine")
    assert outcome(tmp_path / "mine") == whole
    assert "exact_until" not in read_document(tmp_path / "mine")
    faults.survive("a simulated run is killed")


def workers_process(session):
    """Return the process of the workers: the child that is named first."""
    for pid in sorted(group(session)):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"spawn_main" in file.read():
                return pid
    return None


@pytest.mark.parametrize("steps", [0, 1_500])
def test_simulated_process_killed_goes_back_to_the_last_checkpoint(faults, tmp_path, whole, steps):
    faults.inject("the process of the simulated workers is killed")
    run = tmp_path / "mine"
    with launched(command(tmp_path), tmp_path / "said") as process:
        assert wait_until(has_checkpoints(run, steps), seconds=200)
        assert wait_until(lambda: workers_process(process.pid))
        os.kill(workers_process(process.pid), signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    assert outcome(run) == whole
    (row,) = read_rows(run, "failures")
    assert row["is_replaced"]
    assert not row["is_final"]
    assert "signal 9" in row["reason"]
    faults.survive("the process of the simulated workers is killed")


def test_simulated_run_stopped_by_a_signal_notes_where_it_stops_to_repeat(faults, tmp_path):
    faults.inject("a simulated run is stopped")
    run = tmp_path / "mine"
    words = command(tmp_path, "checkpoints.every=1M", env="tests.runtime.toys:Unhurried")
    with launched(words, tmp_path / "said") as process:
        assert wait_until(lambda: run.is_dir() and len(read_rows(run, "episodes")) > 3, seconds=200)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=100) == 143
    stopped = read_document(run)
    assert stopped["exact_until"] == checkpoints.load(run).step > 0
    resume(run)
    ended = read_document(run)
    assert (ended["status"], ended["exact_until"]) == ("finished", stopped["exact_until"])
    faults.survive("a simulated run is stopped")


def test_simulated_environment_that_kills_the_process_ends_the_run_after_its_restarts(faults, tmp_path):
    faults.inject("an environment kills the process of the simulated workers again and again")
    words = command(tmp_path, "workers.restarts=1", env="tests.faults.toys:Deadly")
    ended = subprocess.run(words, timeout=300, capture_output=True, text=True)
    assert ended.returncode == 4
    assert "exit code 3" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert read_document(tmp_path / "mine")["status"] == "failed"
    assert len(read_rows(tmp_path / "mine", "failures")) == 2
    faults.survive("an environment kills the process of the simulated workers again and again")


def test_simulated_256_workers_repeat_on_cartpole(tmp_path):
    runs = [train(tmp_path / name, "checkpoints.every=1M", threads=256, frames=24_000) for name in ("one", "two")]
    one, two = (outcome(run) for run in runs)
    assert one == two
    assert len(read_document(runs[0])["costs"]) == 5
    assert read_rows(runs[0], "metrics")[-1]["policy_lag"] > 100


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c"])
@pytest.mark.parametrize("network", ["nips", "nips-lstm"])
def test_simulated_updates_on_pong_are_those_of_a_real_worker(algo, network):
    table = {"env": "pong", "algo": algo, "network": network, "frames": 320}
    parameters = simulate(**table)[1]
    subject = actor(*prepare(**table))
    subject.run()
    assert same(parameters, subject.parameters)


@pytest.mark.parametrize("algo", ["a3c", "one-step-q"])
def test_simulated_one_worker_on_pong_has_the_weights_of_a_real_one(tmp_path, algo):
    table = {"env": "pong", "algo": algo, "threads": 1, "frames": 2_000}
    real, simulated = (train(tmp_path / clock, clock=clock, **table) for clock in ("wall", "simulated"))
    tensors, others = (checkpoints.load(run).tensors for run in (real, simulated))
    assert all(torch.equal(tensors[name], others[name]) for name in ("theta", "target", "optimizer_state"))


def test_profiled_run_writes_costs_that_a_simulated_run_reads(tmp_path):
    table = {"threads": 1, "frames": 15_000}
    profiled = tmp_path / "mine"
    words = command(tmp_path, clock="wall", **table)
    subprocess.run([*words, "--profile"], check=True, timeout=300, capture_output=True)
    simulated = train(tmp_path / "simulated", f"simulated.costs={profiled / 'costs.toml'}", **table)
    costs = read_document(simulated)["costs"]
    assert re.findall(r"^\[costs.(\w+)]", (profiled / "costs.toml").read_text(), re.MULTILINE) == list(costs)
    # the time of a step by the profile, which waiting for the parent, or for a core, is no part of
    phases = [f"{name}_us" for name in list(costs)] + ["events_us"]
    steps = [sum(row[phase] for phase in phases) for row in read_rows(profiled, "metrics")[1:]]
    seconds = read_document(simulated)["seconds"]
    assert seconds / 15_000 == pytest.approx(sorted(steps)[len(steps) // 2] / 1e6, rel=0.5)
