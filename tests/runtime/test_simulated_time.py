"""Simulated time, in this process: the order of phases, policy lag, repetition, and going on after a barrier."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asyncrl.costs import Costs, default_costs
from asyncrl.events import EpisodeEnd, Incident, Interval, WorkerState
from asyncrl.runtime.control import NEVER, Control
from asyncrl.runtime.hosted_worker import HostedWorker
from asyncrl.runtime.simulated_process import Outbox, SimulatedProcess, WorkerFailed
from asyncrl.runtime.simulated_worker import SimulatedWorker
from asyncrl.runtime.simulation import Cores, Durations, Simulation
from tests.runtime.setups import actor, prepare, same, steps_of

COSTS = default_costs("mlp", "other")
CHEAP_APPLY = Costs(pull=1, act=10, environment=10, learn=50, apply=1)
# The environment's episodes never end, so that all rollouts have the same length.
FOREVER = {"env": "tests.toys:Forever", "network": "mlp", "algo": "a3c", "t_max": 5}
CART = {"env": "CartPole-v1", "network": "mlp", "target_frames": 50, "exploration": {"anneal_frames": 200}}


class Parent:
    """The parent's end of the pipe: it keeps messages, and releases the workers at each barrier but the last."""

    def __init__(self, control, barriers):
        self.control, self.barriers, self.sent, self.states = control, list(barriers), [], {}
        control.release(self.barriers.pop(0) if self.barriers else NEVER)

    def send(self, message):
        """Take in a message; the states of all workers are those of a barrier."""
        self.sent += message
        states = [event for event in message if isinstance(event, WorkerState)]
        self.states |= {state.worker: state for state in states}
        if states:
            if self.barriers:
                self.control.release(self.barriers.pop(0))
            else:
                self.control.stop()

    def events(self, kind):
        """Return what was sent of one kind."""
        return [event for event in self.sent if isinstance(event, kind)]


def simulate(barriers=(NEVER,), job=None, parameters=None, saved=(), simulation=None, **table):
    """Run until the last barrier, or to the end; return the parent's end, the parameters and the job."""
    if job is None:
        job, parameters = prepare(clock="simulated", **table)
        job = replace(job, simulation=simulation or Simulation(COSTS, jitter=0.3))
    control = Control.allocate(job.workers)
    parent = Parent(control, barriers)
    SimulatedProcess(job, parameters, control, Outbox(parent), dict(saved)).run()
    return parent, parameters, job


def lags(parent):
    """Return the mean policy lag, and the counts of updates by binary digits of their lag."""
    intervals = parent.events(Interval)
    mean = sum(each.sums.get("policy_lag", 0.0) for each in intervals) / sum(each.updates for each in intervals)
    counts = np.zeros(12, int)
    for each in intervals:
        for digits, count in each.lags.items():
            counts[digits] += count
    return mean, counts


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c"])
@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
def test_simulated_one_worker_has_the_weights_of_a_real_one(algo, network):
    table = CART | {"algo": algo, "network": network, "frames": 80}
    parent, parameters, _ = simulate(**table)
    subject = actor(*prepare(**table))
    start = subject.parameters.tensors()["theta"]
    subject.run()
    assert same(parameters, subject.parameters)
    assert not torch.equal(start, subject.parameters.tensors()["theta"])
    simulated, real = parent.states[0].state, subject.pipe.events(WorkerState)[0].state
    assert simulated["torch_rng"] == real["torch_rng"]
    assert simulated["record"] == real["record"]


def test_simulated_one_worker_with_continuous_actions_has_the_weights_of_a_real_one():
    table = {"env": "Pendulum-v1", "frames": 60}
    subject = actor(*prepare(**table))
    subject.run()
    assert same(simulate(**table)[1], subject.parameters)


@pytest.mark.parametrize("algo", ["a3c", "one-step-sarsa"])
def test_simulated_same_seed_repeats_and_another_one_or_other_costs_do_not(algo):
    table = CART | {"algo": algo, "threads": 16, "frames": 300}
    (parent, parameters, _), (again, others, _) = simulate(**table), simulate(**table)
    assert same(parameters, others)
    assert parent.events(EpisodeEnd) == again.events(EpisodeEnd)
    assert parent.states[3].state["virtual"] == again.states[3].state["virtual"]
    assert not same(parameters, simulate(**table | {"seed": 2})[1])
    assert not same(parameters, simulate(**table, simulation=Simulation(COSTS, jitter=0.4))[1])
    assert lags(parent)[0] > 5


@pytest.mark.parametrize(
    "simulation",
    [
        Simulation(COSTS, jitter=0.3),
        Simulation(COSTS, jitter=0.3, delay=5, is_delay_drawn=True),
        Simulation(COSTS, jitter=0.3, cores=2),
        Simulation(COSTS, jitter=0.3, cores=2, has_turns=False),
    ],
    ids=["ideal", "delay", "turns", "phases"],
)
def test_simulated_run_that_resumes_at_a_barrier_ends_as_one_that_was_never_stopped(simulation):
    table = CART | {"algo": "n-step-q", "network": "mlp-lstm", "threads": 16, "frames": 600, "simulation": simulation}
    _, whole, _ = simulate((300, NEVER), **table)
    first, parameters, job = simulate((300,), **table)
    assert 300 <= parameters.T < 600
    second, parameters, _ = simulate((NEVER,), replace(job, session=1), parameters, first.states)
    assert same(parameters, whole)
    assert second.events(Interval)[-1].clock > first.events(Interval)[-1].clock > 0


@pytest.mark.parametrize(("algo", "stops"), [("a3c", 2), ("n-step-q", 3), ("one-step-q", 8), ("one-step-sarsa", 9)])
def test_simulated_worker_stops_before_each_phase_that_acts_on_shared_numbers(algo, stops):
    """pull and apply; learn where there is θ⁻; and each of five steps, and Sarsa's look ahead, where θ acts."""
    job, parameters = prepare(**FOREVER | {"algo": algo})
    control = Control.allocate(1)
    hosted = HostedWorker(0, job, parameters, control, Parent(control, ()))
    worker = SimulatedWorker(hosted, Durations(Simulation(COSTS), 1, 0), 0.0)
    found = []
    for _ in range(2):
        count = 1
        while worker.advance() is None:
            count += 1
        found.append(count)
    assert found == [stops, stops]


def test_simulated_barrier_stops_each_worker_after_its_rollout():
    parent, parameters, job = simulate((100,), **CART, algo="a3c", threads=4, frames=10_000)
    assert 100 <= parameters.T <= 100 + 4 * job.t_max
    assert {i: state.state["steps"] for i, state in parent.states.items()} == dict(enumerate(steps_of(parameters)))


@pytest.mark.parametrize("workers", [2, 8])
def test_simulated_constant_costs_lag_is_the_number_of_other_workers(workers):
    parent, _, _ = simulate(
        **FOREVER, threads=workers, frames=60 * workers, simulation=Simulation(CHEAP_APPLY, jitter=1e-9)
    )
    mean, counts = lags(parent)
    digits = (workers - 1).bit_length()
    # The first rollouts of all workers begin before any update.
    assert counts[digits] >= counts.sum() - workers
    assert mean > workers - 1.5


def test_simulated_lock_step_workers_apply_one_after_the_other():
    mean, _ = lags(simulate(**FOREVER, threads=8, frames=400, simulation=Simulation(CHEAP_APPLY))[0])
    assert mean == 3.5  # 0, 1 … 7


def test_simulated_random_costs_lag_is_that_of_the_part_before_apply():
    costs = Costs(pull=1, act=5, environment=5, learn=49, apply=50)  # apply is a third of the cycle
    parent, _, _ = simulate(**FOREVER, threads=8, frames=3_000, simulation=Simulation(costs, jitter=0.3))
    assert lags(parent)[0] == pytest.approx(7 * (1 - 50 / 150), rel=0.08)


def test_simulated_slower_worker_does_fewer_steps():
    speeds = Simulation(CHEAP_APPLY, jitter=0.1, speeds=(1.0, 0.25))
    _, parameters, _ = simulate(**FOREVER, threads=2, frames=500, simulation=speeds)
    fast, slow = steps_of(parameters)
    assert 3 < fast / slow < 5


def test_simulated_delay_makes_every_gradient_late():
    parent, parameters, _ = simulate(
        **FOREVER, threads=2, frames=1_000, simulation=Simulation(CHEAP_APPLY, jitter=0.1, delay=100)
    )
    mean, counts = lags(parent)
    assert 100 <= mean < 102
    assert counts[:7].sum() == 0  # of lags below 64
    assert parameters.updates == parameters.T // 5 - 100  # the last hundred gradients wait


@pytest.mark.parametrize(("has_turns", "expected"), [(True, 2.0), (False, 2.0)])
def test_simulated_fewer_cores_take_longer(has_turns, expected):
    def seconds(cores):
        simulation = Simulation(CHEAP_APPLY, jitter=0.1, cores=cores, has_turns=has_turns)
        return simulate(**FOREVER, threads=4, frames=1_000, simulation=simulation)[0].events(Interval)[-1].clock

    assert seconds(2) / seconds(None) == pytest.approx(expected, rel=0.1)


def test_simulated_turns_lower_the_lag():
    def mean(has_turns):
        simulation = Simulation(CHEAP_APPLY, jitter=0.1, cores=1, has_turns=has_turns)
        return lags(simulate(**FOREVER, threads=4, frames=1_500, simulation=simulation)[0])[0]

    assert mean(True) < 0.5 < 1 < mean(False)


def test_simulated_worker_that_raises_is_built_anew_in_place():
    parent, parameters, job = simulate(env="tests.toys:Crashing", network="mlp", algo="a3c", threads=2, frames=60)
    assert parameters.T >= job.budget
    incidents = parent.events(Incident)
    assert len(incidents) >= 2
    assert all(each.is_replaced and not each.is_fatal and "the floor gave way" in each.traceback for each in incidents)
    assert len(parent.states[0].state["key"]) == 3


def test_simulated_worker_that_raises_too_often_ends_the_run():
    with pytest.raises(WorkerFailed, match="the floor gave way") as failed:
        simulate(env="tests.toys:Crashing", algo="a3c", frames=10_000, workers={"restarts": 2})
    incident = failed.value.incident
    assert incident.is_fatal
    assert incident.worker == 0
    assert incident.seeds


def test_simulated_worker_that_raises_after_a_resume_draws_the_seeds_of_a_run_that_was_never_stopped():
    table = {"env": "tests.toys:Crashing", "network": "mlp", "algo": "a3c", "threads": 2, "frames": 60}
    _, whole, _ = simulate((8, NEVER), **table)
    first, parameters, job = simulate((8,), **table)
    assert not first.events(Incident)
    second, parameters, _ = simulate((NEVER,), replace(job, session=1), parameters, first.states)
    assert second.events(Incident)
    assert same(parameters, whole)


def test_simulated_process_shows_that_it_lives_before_a_step_is_counted(monkeypatch):
    """T moves after a rollout of each worker, which may take longer than a worker may hang."""
    beats = []
    monkeypatch.setattr(Control, "beat", lambda control, worker, number: beats.append((number, parameters.T)))
    job, parameters = prepare(**CART, algo="a3c", threads=8, frames=200, clock="simulated")
    simulate(job=replace(job, simulation=Simulation(COSTS)), parameters=parameters)
    # a beat of 0 ends the building of workers
    before = [number for number, T in beats[beats.index((0, 0)) + 1 :] if T == 0]
    assert len(set(before)) >= 8


def test_durations_of_a2c_wait_for_the_slowest_core():
    costs = Costs(pull=0, act={"base": 10, "each": 1}, environment=100, learn=0, apply=0)

    def mean(phase, cores, jitter):
        durations = Durations(Simulation(costs, jitter=jitter, batch_cores=cores, efficiency=0.5), 1, 0)
        return np.mean([durations.seconds(phase, 80) for _ in range(2_000)]) * 1e6

    assert mean("environment", 8, 0.0) == pytest.approx(100)
    assert mean("environment", 1, 0.2) == pytest.approx(100, rel=0.03)
    assert 120 < mean("environment", 8, 0.2) < 150  # the largest of eight
    assert mean("act", 8, 0.0) == pytest.approx(10 + 80 / 4)


def test_cores_go_to_the_worker_that_waits_longest():
    cores = Cores(1, turn=1)
    assert cores.enter(0)
    cores.spend(0)
    assert not cores.enter(1)
    assert not cores.enter(2)
    assert not cores.enter(0)  # its turn is over, and others wait
    assert cores.granted == [1]
    cores.leave(1)
    assert cores.granted == [1, 2]
    assert cores.enter(2)
