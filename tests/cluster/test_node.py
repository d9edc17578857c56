"""A node: with one worker it is the run without nodes, and a push has the sum of its workers' gradients."""

import random
import threading
import time

import pytest
import torch

from asyncrl.cluster.agent import NodeAgent, SupersededError
from asyncrl.cluster.server import Outcome
from asyncrl.events import Interval
from tests.cluster.setups import (
    job_of,
    parameters_of,
    run_node,
    serve,
    train_in_thread,
    train_in_turn,
    train_with_processes,
)
from tests.runtime.setups import actor, same, wait_until

METHODS = ("a3c", "n-step-q", "one-step-q", "one-step-sarsa")


class Unreliable:
    """A server whose requests and answers are lost, and which gets requests twice, by chance."""

    def __init__(self, server):
        self._server, self._random = server, random.Random(1)

    def join(self, node, incarnation):
        return self._server.join(node, incarnation)

    def leave(self, node, incarnation):
        self._server.leave(node, incarnation)

    def push(self, push):
        fate = self._random.random()
        if fate < 0.1:
            raise ConnectionError("the request was lost")
        answer = self._server.push(push)
        if fate < 0.2:
            raise ConnectionError("the answer was lost")
        return self._server.push(push) if fate < 0.3 else answer


@pytest.mark.parametrize("optimizer", ["shared-rmsprop", "momentum"])
@pytest.mark.parametrize("algo", METHODS)
def test_one_node_one_worker_ends_with_the_weights_of_the_run_without_nodes(algo, optimizer):
    job = job_of(algo=algo, optimizer={"name": optimizer}, envs_per_thread=1)
    local = train_in_turn(job, parameters_of(job))
    server = train_in_thread(job, serve(parameters_of(job)))
    assert same(local, server.parameters)
    assert server.take_counts().outcomes[Outcome.APPLIED] == local.updates > 30


def test_one_node_one_worker_with_lost_and_repeated_calls_ends_with_the_same_weights(monkeypatch):
    monkeypatch.setattr("asyncrl.cluster.repeating.FIRST_DELAY", 0.0)
    job = job_of(algo="one-step-q")
    local = train_in_turn(job, parameters_of(job))
    server = serve(parameters_of(job))
    train_in_thread(job, Unreliable(server))
    assert same(local, server.parameters)
    assert server.take_counts().outcomes[Outcome.REPEATED] > 10


def test_push_after_several_updates_has_the_sum_of_their_gradients():
    job = job_of(threads=2)
    server = serve(parameters_of(job))
    pushes = []
    server.push = lambda push, take=server.push: pushes.append(push) or take(push)
    agent = NodeAgent(job, 0, 1, 1, server, push_every=3)
    workers = [actor(job, agent.parameters, i) for i in (0, 1)]
    expected = torch.zeros(len(server.parameters.theta))
    for i in (0, 1, 1):
        assert not pushes
        workers[i].update()
        expected += workers[i].actor.grad
        agent.poll()
    (push,) = pushes
    assert torch.equal(torch.from_numpy(push.gradient), expected)
    assert push.updates == 3
    assert push.steps == tuple(agent.parameters.steps(i) for i in (0, 1))
    # one update of θ, and the node has the new weights
    assert (server.parameters.updates, agent.parameters.updates) == (1, 1)
    weights = torch.zeros_like(expected)
    agent.parameters.pull(weights)
    assert torch.equal(weights, server.parameters.tensors()["theta"])
    assert agent.parameters.T == server.parameters.T
    for worker in workers:
        worker.environments.close()


def test_push_base_version_is_the_oldest_of_its_gradients():
    job = job_of(threads=2)
    server = serve(parameters_of(job))
    agent = NodeAgent(job, 0, 1, 1, server, push_every=2)
    first, late = (actor(job, agent.parameters, i) for i in (0, 1))
    phases = late.actor.update()
    assert next(phases) == "pull"
    for _ in range(2):
        first.update()
    agent.poll()
    for _ in phases:
        pass
    first.update()
    agent.poll()
    # the second push has a gradient that was computed with the weights before the first
    assert server.take_counts().staleness == {0: 1, 1: 1}
    for worker in (first, late):
        worker.environments.close()


def test_agent_of_an_old_incarnation_ends():
    job = job_of()
    server = serve(parameters_of(job))
    agent = NodeAgent(job, 0, 1, 1, server, push_every=1)
    server.join(0, 2)
    worker = actor(job, agent.parameters)
    agent.parameters.advance(0, 5)
    with pytest.raises(SupersededError, match="newer incarnation than 1"):
        agent.run()
    assert server.parameters.T == 0
    worker.environments.close()


def test_agent_gives_up_where_the_server_does_not_answer():
    job = job_of()
    server = serve(parameters_of(job))
    agent = NodeAgent(job, 0, 1, 1, server, push_every=1, patience=0.0)

    def fail(push):
        raise ConnectionRefusedError

    server.push = fail
    with pytest.raises(ConnectionError):
        agent.run()


@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("algo", ["a3c", "one-step-q"])
def test_one_node_with_a_worker_process_ends_with_the_weights_of_the_run_without_nodes(algo):
    job = job_of(algo=algo)
    local = train_with_processes(job)
    server = serve(parameters_of(job))
    run_node(job, server, push_every=1)
    assert same(local, server.parameters)


@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_two_nodes_one_replaced_in_the_middle_meet_the_budget(faults):
    job = job_of(threads=2, frames=6_000)
    server = serve(parameters_of(job), nodes=2)
    ends, is_replaced = {}, threading.Event()

    def take(push, take=server.push):
        """Answer node 0 slowly until node 1 was replaced: its worker waits."""
        if push.node == 0 and not is_replaced.is_set():
            time.sleep(0.1)
        return take(push)

    server.push = take

    def run(node, incarnation):
        try:
            run_node(job, server, 1, node, 2, incarnation)
            ends[node, incarnation] = "left"
        except SupersededError:
            ends[node, incarnation] = "superseded"

    def steps_of_node_1():
        return server.parameters.steps(1)

    threads = [threading.Thread(target=run, args=key, daemon=True) for key in ((0, 1), (1, 1))]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: steps_of_node_1() > 500, seconds=60)
    faults.inject("a node replaced in the middle of a run")
    threads.append(threading.Thread(target=run, args=(1, 2), daemon=True))
    threads[-1].start()
    assert wait_until(lambda: (1, 1) in ends)
    before = steps_of_node_1()
    assert wait_until(lambda: steps_of_node_1() > before, seconds=60)
    is_replaced.set()
    for thread in threads:
        thread.join(60)
    assert ends == {(0, 1): "left", (1, 1): "superseded", (1, 2): "left"}
    T = server.parameters.T
    assert job.budget <= T < job.budget + 2 * job.t_max * 8
    # events of the first incarnation that came too late are lost, and none came twice
    told = sum(event.steps for event in server.take_events() if isinstance(event, Interval))
    assert T - before <= told <= T
    assert server.take_counts().outcomes[Outcome.NOT_CURRENT] >= 1
    faults.survive("a node replaced in the middle of a run")
