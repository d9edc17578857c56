"""Node agents as actors, without Ray."""

from asyncrl.cluster.ray_nodes import RayNodes
from tests.cluster.setups import job_of


def test_serve_while_all_nodes_are_lost_waits(monkeypatch):
    naps = []
    monkeypatch.setattr("time.sleep", naps.append)
    assert RayNodes(None, job_of(), 2, 1).serve(0.25) == []
    assert naps == [0.25]
