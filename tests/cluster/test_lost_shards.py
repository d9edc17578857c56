"""A shard that is lost during a pause, or at the end of a run: the pool waits until it has its part again."""

import pytest
import torch

from asyncrl.cluster import repeating, shards
from asyncrl.cluster.pool import ClusterPool, NodeEnd
from asyncrl.cluster.shards import ShardedServer, cuts
from asyncrl.events import Incident
from asyncrl.runtime.control import Control
from tests.cluster.local_shards import LocalShards, pushed
from tests.cluster.setups import NO_PAUSE, job_of, parameters_of

LOST = ["shard 2 was lost; its weights are those of the last pause"]


class Slow(LocalShards):
    """Shards that are not found to be empty, or take no vectors, for so many calls."""

    hidden = refused = 0

    def empty(self):
        if self.hidden:
            self.hidden -= 1
            return []
        return super().empty()

    def write(self, tensors):
        if self.refused:
            self.refused -= 1
            raise ConnectionError("a shard is being started")
        super().write(tensors)


class Launcher:
    """A NodeLauncher whose only node is the test."""

    ends = ()

    def start(self, node, incarnation, server):
        server.join(node, incarnation)

    def serve(self, seconds):
        ends, self.ends = self.ends, ()
        return list(ends)

    def close(self):
        pass


def incidents(events):
    """Return the messages of incidents."""
    return [event.message for event in events if isinstance(event, Incident)]


class Cluster:
    """A pool of one node whose parameters are in three shards, and this node."""

    def __init__(self):
        job = job_of(threads=1)
        self.parameters, self.shards, self.launcher = parameters_of(job), Slow(job, 3), Launcher()
        control = Control.allocate(1)
        self.pool = ClusterPool(job, self.parameters, control, None, 1, 100, self.launcher, self.shards, 3)
        self.pool.release(NO_PAUSE)
        self.size, self._seq = len(self.parameters.theta), 0
        self._server = ShardedServer(self.pool.server, self.shards, 1)

    def join(self):
        self._server.join(0, 1)

    def push(self, steps=5):
        """Push a gradient of ones."""
        self._seq += 1
        gradient, version = torch.ones(self.size).numpy(), self.parameters.updates
        pushed(self._server, self._seq, gradient, base_version=version, steps=(steps,))

    def park(self):
        """Park the node, and return which incidents the pool reports."""
        self._seq += 1
        pushed(self.pool.server, self._seq, None, steps=(0,), parked_in=self.pool.server.control.pause)
        return incidents(self.pool.park())

    def end(self):
        """End the node, and return which incidents the pool reports."""
        self.launcher.ends = (NodeEnd(0, None),)
        return incidents(self.pool.events())

    def theta(self):
        """Return the three parts of the run's θ."""
        return [torch.from_numpy(self.parameters.theta[cut].copy()) for cut in cuts(self.size, 3)]


@pytest.fixture
def cluster(monkeypatch):
    """Return a cluster that has made a pause after its first push."""
    monkeypatch.setattr(repeating, "FIRST_DELAY", 0.0)
    cluster = Cluster()
    with cluster.pool:
        cluster.join()
        cluster.push()
        assert cluster.park() == []
        cluster.pool.release(NO_PAUSE)
        yield cluster


def changed(before, after):
    return [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]


def test_park_with_a_lost_shard_waits_for_it_and_has_its_part_of_the_last_pause(cluster):
    paused = cluster.theta()
    cluster.push()
    cluster.shards.lose(1)
    cluster.shards.hidden = 3
    assert cluster.park() == []
    assert changed(paused, cluster.theta()) == [True, True, False]
    cluster.pool.release(NO_PAUSE)
    assert incidents(cluster.pool.events()) == LOST
    before = cluster.theta()
    cluster.push()
    cluster.park()
    assert changed(before, cluster.theta()) == [True, True, True]


def test_end_with_a_lost_shard_waits_for_it_and_reports_it(cluster):
    paused = cluster.theta()
    cluster.push(steps=10_000)
    cluster.shards.lose(1)
    cluster.shards.hidden = 3
    assert cluster.end() == LOST
    assert not cluster.pool.is_running
    assert changed(paused, cluster.theta()) == [True, True, False]


def test_release_with_a_lost_shard_waits_for_it_and_loses_nothing(cluster):
    cluster.push()
    cluster.park()
    paused = cluster.theta()
    cluster.shards.lose(1)
    cluster.shards.refused = 3
    cluster.pool.release(NO_PAUSE)
    assert incidents(cluster.pool.events()) == []
    cluster.park()
    assert changed(paused, cluster.theta()) == [False, False, False]


def test_shard_that_is_lost_again_before_it_has_its_part_gets_it_later(cluster):
    cluster.shards.lose(1)
    cluster.shards.refused = 1
    assert incidents(cluster.pool.events()) == []
    assert incidents(cluster.pool.events()) == LOST
    cluster.push()


def test_shard_that_does_not_come_back_ends_the_pause_with_an_error(cluster, monkeypatch):
    monkeypatch.setattr(shards, "PATIENCE", 0.0)
    cluster.push()
    cluster.shards.lose(1)
    cluster.shards.hidden = 1000
    with pytest.raises(ConnectionError):
        cluster.park()
