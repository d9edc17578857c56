"""The pool of several nodes: it starts lost nodes again, and parks all nodes."""

import pytest

from asyncrl.cluster import pool as pools
from asyncrl.cluster.pool import ClusterPool, NodeEnd
from asyncrl.events import Incident
from asyncrl.runtime.control import Control
from tests.cluster.setups import NO_PAUSE, job_of, parameters_of, push


class Launcher:
    """A NodeLauncher that starts nothing."""

    def __init__(self):
        self.started, self.ends, self.is_closed = [], [], False

    def start(self, node, incarnation, server):
        self.started.append((node, incarnation))
        server.join(node, incarnation)

    def serve(self, seconds):
        ends, self.ends = self.ends, []
        return ends

    def close(self):
        self.is_closed = True


@pytest.fixture
def launcher(monkeypatch):
    monkeypatch.setattr(pools, "FIRST_DELAY", 0.0)
    return Launcher()


def make(launcher, **table):
    job = job_of(threads=1, cluster={"nodes": 2}, **table)
    parameters = parameters_of(job)
    pool = ClusterPool(job, parameters, Control.allocate(job.workers), None, 2, 100, launcher)
    pool.release(NO_PAUSE)
    return pool


def test_pool_starts_each_node_and_ends_with_them(launcher):
    with make(launcher) as pool:
        assert launcher.started == [(0, 1), (1, 1)]
        assert pool.is_running
        launcher.ends = [NodeEnd(0, None), NodeEnd(1, None)]
        assert list(pool.events()) == []
        assert not pool.is_running
    assert launcher.is_closed


def test_pool_starts_a_lost_node_again_in_a_new_incarnation(launcher):
    with make(launcher) as pool:
        launcher.ends = [NodeEnd(1, "no power")]
        (incident,) = pool.events()
        assert (incident.source, incident.message) == ("node", "node 1 was lost: no power")
        assert incident.is_replaced
        assert not incident.is_fatal
        list(pool.events())
        assert launcher.started == [(0, 1), (1, 1), (1, 2)]
        assert not pool.server.push(push(node=1)).is_current
        assert pool.is_running


def test_pool_node_that_is_lost_too_often_is_a_fatal_incident(launcher):
    with make(launcher, workers={"restarts": 1}) as pool:
        incidents = []
        for _ in range(2):
            launcher.ends = [NodeEnd(0, "no power")]
            incidents += pool.events()
            incidents += pool.events()
        assert [incident.is_fatal for incident in incidents] == [False, True]


def test_pool_node_lost_after_the_budget_is_not_started_again(launcher):
    with make(launcher) as pool:
        pool.server.parameters.advance(0, 600)
        launcher.ends = [NodeEnd(0, "no power"), NodeEnd(1, None)]
        (incident,) = pool.events()
        assert isinstance(incident, Incident)
        assert not incident.is_fatal
        assert not pool.is_running


def test_park_waits_for_all_nodes_that_are_there(launcher, monkeypatch):
    monkeypatch.setattr(pools, "FIRST_DELAY", 100.0)
    with make(launcher) as pool:
        pause = pool.server.control.pause
        answers = []

        def serve(seconds):
            """Node 0 parks, and node 1 is lost."""
            empty = push(steps=(0,), parked_in=pause)._replace(gradient=None)
            answers.append(pool.server.push(empty))
            return [NodeEnd(1, "no power")]

        launcher.serve = serve
        incidents = list(pool.park())
        assert answers[0].orders.pause_at == 0
        assert [incident.source for incident in incidents] == ["node"]
        pool.release(NO_PAUSE)
        assert not pool.server.is_parked


def test_stop_is_an_order_to_all_nodes(launcher):
    with make(launcher) as pool:
        pool.stop()
        assert pool.server.join(0, 2).answer.orders.is_stopping
