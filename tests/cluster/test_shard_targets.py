"""θ⁻ in shards: all nodes get the same one, in whatever order the parts of their pushes arrive."""

import numpy as np
import pytest

from asyncrl.cluster.shards import ShardedServer
from tests.cluster.local_shards import gradient_of, pushed, sharded, vectors
from tests.cluster.setups import job_of

PERIOD = 100  # steps between two copies to θ⁻


class Held:
    """Shards that keep the parts of a push under way, until ``send``."""

    def __init__(self, shards):
        self._shards, self._parts = shards, None
        self.join = shards.join

    def push(self, parts):
        self._parts = parts
        raise ConnectionError("the parts are under way")

    def send(self):
        return self._shards.push(self._parts)


@pytest.fixture
def server():
    """Return the server of two nodes, which have joined; the parts of node 0 are under way, and lead to a new θ⁻."""
    job = job_of(algo="one-step-q", threads=1, cluster={"nodes": 2}, target_frames=PERIOD)
    server = sharded(job, 3, nodes=2)
    server.initial = vectors(server)["target"].numpy()
    server.held = Held(server.shards)
    late = ShardedServer(server.first, server.held, 1)
    late.join(0, 1)
    server.join(1, 1)
    # the answer of this push is lost, so that it is repeated later
    pushed(server, 1, gradient_of(server, 1), node=1)
    with pytest.raises(ConnectionError):
        pushed(late, 1, gradient_of(server), base_version=1, steps=(PERIOD,))
    return server


def check(server, answer):
    """Check that an answer has the new θ⁻, which the late parts do not change."""
    assert answer.targets == 2
    server.held.send()
    assert np.array_equal(answer.target, vectors(server)["target"].numpy())
    changed = answer.target != server.initial
    assert all(changed[part].any() for part in np.array_split(np.arange(len(changed)), 3))


@pytest.mark.parametrize("seq", [1, 2])
def test_target_of_a_node_whose_parts_overtake_those_that_lead_to_it_is_that_of_all_shards(server, seq):
    check(server, pushed(server, seq, gradient_of(server, seq), node=1))


def test_target_of_a_node_that_joins_before_the_parts_that_lead_to_it_is_that_of_all_shards(server):
    check(server, server.join(1, 2).answer)


def test_target_is_copied_once_where_several_parts_lead_beyond_its_step(server):
    pushed(server, 2, gradient_of(server, 2), node=1)
    server.held.send()
    before = vectors(server)["target"].numpy()
    pushed(server, 3, gradient_of(server, 3), node=1)
    assert np.array_equal(before, vectors(server)["target"].numpy())
