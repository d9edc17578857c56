"""A push that is not of this run: nothing changes, and only its node is lost."""

import numpy as np
import pytest
import torch

from asyncrl.cluster.pool import NodeEnd
from asyncrl.cluster.ray_nodes import Call, RayNodes
from tests.cluster.setups import P, job_of, push, serve, small_parameters

BAD = {
    "too long": (push(gradient=torch.ones(P + 1)), r"gradient of float32 \(6,\); θ is float32 \(5,\)"),
    "another type": (push(gradient=torch.ones(P, dtype=torch.float64)), "gradient of float64"),
    "too many workers": (push(steps=(5, 5)), r"steps \(5, 5\) of 1 workers"),
    "steps backwards": (push(steps=(-5,)), r"steps \(-5,\)"),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_push_that_is_not_of_this_run_raises_and_changes_nothing(bad, message):
    server = serve(small_parameters())
    server.join(0, 1)
    with pytest.raises(ValueError, match=message):
        server.push(bad)
    assert (server.parameters.T, server.parameters.updates) == (0, 0)
    # the node's sequence goes on
    assert server.push(push()).T == 5


class Actor:
    """An actor whose calls are known beforehand; a reference is a function that returns one."""

    def __init__(self, calls):
        self.calls, self.answers, self.is_killed = list(calls), [], False
        self.run = self.exchange = self

    def remote(self, *arguments):
        if arguments:
            self.answers.append(arguments[0])
            call = self.calls.pop(0)
            return lambda: call
        return None


class Class:
    """The class of actors."""

    def __init__(self, actors):
        self._actors = actors

    def options(self, **options):
        return self

    def remote(self, job, node, *arguments):
        return self._actors[node]


class Cluster:
    """What RayNodes uses of Ray."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, actors):
        self._actors = actors

    def nodes(self):
        return []

    def remote(self, made):
        return Class(self._actors)

    def wait(self, references, num_returns, timeout):
        return references, []

    def get(self, reference):
        return reference()

    def kill(self, actor):
        actor.is_killed = True


def test_serve_a_call_that_fails_loses_its_node_and_answers_the_others():
    job = job_of(threads=1, cluster={"nodes": 2})
    server = serve(small_parameters(workers=2), nodes=2)
    joins = [Call("join", (node, 1)) for node in (0, 1)]
    pushes = [Call("push", (push(node=node, gradient=torch.ones(P + node)),)) for node in (0, 1)]
    actors = [Actor([joins[node], pushes[node], Call("leave", (node, 1))]) for node in (0, 1)]
    nodes = RayNodes(Cluster(actors), job, 2, push_every=1)
    for node in (0, 1):
        nodes.start(node, 1, server)
    assert nodes.serve(0.0) == []
    (end,) = nodes.serve(0.0)
    reason = "its push failed: ValueError: node 1 has pushed a gradient of float32 (6,); θ is float32 (5,)"
    assert end == NodeEnd(1, reason)
    assert [actor.is_killed for actor in actors] == [False, True]
    assert np.array_equal(actors[0].answers[-1].theta, server.parameters.theta)
    assert server.parameters.updates == 1
