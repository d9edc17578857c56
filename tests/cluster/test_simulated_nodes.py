"""Nodes in simulated time: without costs they are the run without nodes; with costs they are those of the model."""

from dataclasses import replace

import pytest

from asyncrl.cluster.agent import PUSH_SECONDS
from asyncrl.cluster.push_costs import PushCosts
from asyncrl.events import EpisodeEnd, Incident, Interval
from asyncrl.runtime.control import NEVER
from asyncrl.runtime.simulation import Simulation
from benchmarks.nodes import Setting, measure
from tests.cluster.simulated import CART, COSTS, FOREVER, FREE, ROLLOUT, SLOW, outcomes, seconds, simulate, staleness
from tests.runtime.setups import steps_of
from tests.runtime.test_simulated_time import same
from tests.runtime.test_simulated_time import simulate as simulate_locally

METHODS = ("one-step-q", "one-step-sarsa", "n-step-q", "a3c")


@pytest.mark.parametrize("algo", METHODS)
def test_simulated_one_node_one_worker_without_costs_is_the_run_without_nodes(algo):
    table = CART | {"algo": algo, "frames": 200}
    local, expected, _ = simulate_locally((100, NEVER), simulation=Simulation(COSTS, jitter=0.3), **table)
    parent, parameters, _ = simulate(barriers=(100, NEVER), **table)
    assert same(parameters, expected)
    # scores, T and virtual times; updates are counted when a worker has the answer
    episodes = [[each._replace(updates=0) for each in run.events(EpisodeEnd)] for run in (parent, local)]
    assert episodes[0] == episodes[1]
    assert parent.events(Interval)[-1].clock == local.events(Interval)[-1].clock
    assert outcomes(parent)["applied"] == parameters.updates > 20


@pytest.mark.parametrize(("algo", "push_every"), [("a3c", 1), ("one-step-q", 3)])
def test_simulated_nodes_same_seed_repeats_and_another_one_does_not(algo, push_every):
    table = CART | {"algo": algo, "nodes": 3, "threads": 2, "frames": 600, "push_every": push_every, "costs": SLOW}
    (parent, parameters, _), (again, others, _) = simulate(**table), simulate(**table)
    assert same(parameters, others)
    assert parent.events(EpisodeEnd) == again.events(EpisodeEnd)
    assert outcomes(parent) == outcomes(again)
    assert not same(parameters, simulate(**table | {"seed": 2})[1])


@pytest.mark.parametrize(("algo", "push_every"), [("n-step-q", 1), ("a3c", 7)])
def test_simulated_nodes_that_resume_at_a_barrier_end_as_a_run_that_was_never_stopped(algo, push_every):
    table = CART | {"algo": algo, "nodes": 2, "threads": 3, "frames": 600}
    table |= {"push_every": push_every, "costs": SLOW}
    _, whole, _ = simulate(barriers=(300, NEVER), **table)
    first, parameters, job = simulate(barriers=(300,), **table)
    assert 300 <= parameters.T < 600
    # all that workers have done is in the checkpoint
    assert [first.states[i].state["steps"] for i in range(6)] == steps_of(parameters).tolist()
    saved = {"job": replace(job, session=1), "parameters": parameters, "saved": first.states}
    second, parameters, _ = simulate(nodes=2, push_every=push_every, costs=SLOW, **saved)
    assert same(parameters, whole)
    assert seconds(second) > seconds(first) > 0


def test_simulated_barrier_gives_all_nodes_the_weights_of_the_server():
    parent, parameters, _ = simulate(**FOREVER, nodes=2, push_every=1000, frames=100, barriers=(20, NEVER))
    # before the barrier no push is due, and at the barrier each node pushes its rest once
    assert outcomes(parent)["applied"] == 4
    assert staleness(parent) == {0: 2, 1: 2}
    assert parameters.updates == 4


def test_simulated_worker_that_waits_pays_for_each_part_of_a_push():
    bytes_of_theta = 4 * simulate(**FOREVER, frames=5)[1].theta.size
    costs = PushCosts(delay=1e-3, per_byte=2e-3 / bytes_of_theta, server=3e-3, taking=5e-4, receiving=2e-4)
    parent, parameters, _ = simulate(**FOREVER, frames=500, jitter=0.0, costs=costs)
    rollouts = parameters.T // 5
    whole = ROLLOUT + 2 * 2e-3 + 2 * 1e-3 + 3e-3 + 5e-4 + 2e-4
    # the last rollout ends before its push
    assert seconds(parent) == pytest.approx(rollouts * whole - (whole - ROLLOUT))
    assert staleness(parent) == {0: rollouts}


def test_simulated_network_delay_makes_workers_that_wait_slower():
    fast, slow = (simulate(**FOREVER, nodes=4, threads=4, frames=2_000, costs=costs)[0] for costs in (FREE, SLOW))
    assert seconds(slow) > 5 * seconds(fast)


def test_simulated_network_delay_makes_gradients_of_workers_that_do_not_wait_stale():
    table = FOREVER | {"nodes": 3, "frames": 3_000, "push_every": 2}
    (fast, one, _), (slow, other, _) = (simulate(**table, costs=costs) for costs in (FREE, SLOW))
    assert other.T / seconds(slow) == pytest.approx(one.T / seconds(fast), rel=0.1)
    # 2N − 1 updates of θ, and 3N − 1 where each node always has a push under way
    assert staleness(fast).most_common(1)[0][0] == (5).bit_length()
    assert staleness(slow).most_common(1)[0][0] == (8).bit_length()


def test_simulated_gradient_is_as_old_as_the_pull_of_its_own_worker():
    parent, _, _ = simulate(**FOREVER, threads=6, frames=360, jitter=1e-9)
    # the five other workers push between a pull and the push of its gradient
    assert staleness(parent)[(5).bit_length()] > 0.8 * staleness(parent).total()


def test_simulated_gradient_that_is_too_stale_is_dropped_and_counted_and_its_steps_count():
    parent, parameters, job = simulate(**FOREVER, nodes=4, frames=2_000, costs=SLOW, max_staleness=1)
    found = outcomes(parent)
    assert found["stale"] > 20
    assert found["applied"] == parameters.updates > 20
    assert max(staleness(parent)) == 1
    assert job.budget <= parameters.T < job.budget + 4 * 4 * job.t_max


@pytest.mark.parametrize(("nodes", "push_every"), [(4, 1), (8, 20)])
def test_simulated_nodes_are_as_fast_and_stale_as_the_model(nodes, push_every):
    costs = PushCosts(delay=2e-4, per_byte=1e-7, server=5e-5, taking=2e-5, receiving=1e-5)
    parent, parameters, _ = simulate(
        **FOREVER, nodes=nodes, threads=4, frames=8_000, push_every=push_every, costs=costs
    )
    link = 4 * parameters.theta.size * costs.per_byte
    parts = {"delay": costs.delay, "server": costs.server, "taking": costs.taking, "receiving": costs.receiving}
    expected = measure(Setting(nodes, 4, push_every, rollout=ROLLOUT, link=link, jitter=0.1, **parts))
    # each node pushes its rest at the end
    pushes = outcomes(parent)["applied"] - (nodes if push_every > 1 else 0)
    assert parameters.T / 5 / seconds(parent) == pytest.approx(expected.updates / expected.seconds, rel=0.1)
    assert pushes / seconds(parent) == pytest.approx(expected.pushes / expected.seconds, rel=0.15)


def test_simulated_node_with_few_updates_pushes_after_the_time_of_the_agent():
    parent, parameters, _ = simulate(**FOREVER, nodes=2, push_every=10**5, frames=4_000)
    whole = seconds(parent) / PUSH_SECONDS
    assert whole > 2
    # and once more at the end
    assert parameters.updates == pytest.approx(2 * (int(whole) + 1), abs=2)


def test_simulated_node_worker_that_raises_is_built_anew_in_place():
    parent, parameters, job = simulate(
        env="tests.toys:Crashing", network="mlp", algo="a3c", t_max=5, nodes=2, threads=2, frames=80, costs=SLOW
    )
    assert parameters.T >= job.budget
    incidents = parent.events(Incident)
    assert len(incidents) >= 2
    assert all(each.is_replaced and not each.is_fatal for each in incidents)
