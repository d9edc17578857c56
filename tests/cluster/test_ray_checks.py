"""``asyncrl doctor --on ray``: each node is looked at."""

import pytest

from asyncrl.cluster import checks

pytestmark = pytest.mark.cluster


def test_doctor_looks_at_each_node_of_a_cluster(nodes, command_line):
    own = [nodes.add(), nodes.add(cores=2)]
    _, out, _ = command_line("doctor", "--on", "ray")
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    found = {name: rest for verdict, name, rest in lines if verdict == "ok" and name in ("cluster", "node")}
    assert "nodes: 3, cores: 3" in found["cluster"]
    of_nodes = [rest for verdict, name, rest in lines if (verdict, name) == ("ok", "node")]
    assert sorted("2 cores, the same versions" in rest for rest in of_nodes) == [False, False, True]
    assert all(rest.endswith(" ms") for rest in of_nodes)
    for node in own:
        nodes.remove(node)


def test_doctor_names_versions_that_differ(nodes, monkeypatch, command_line):
    node = nodes.add()
    monkeypatch.setattr(checks, "version", lambda package: "0.0.1" if package == "torch" else "9")
    code, out, _ = command_line("doctor", "--on", "ray")
    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith("fail"))
    assert "0.0.1 here" in line
    assert "python" not in line
    assert "→ Install the same versions" in out
    nodes.remove(node)


def test_doctor_at_an_address_without_a_cluster_is_refused_in_one_line(nodes, command_line):
    code, _, err = command_line("doctor", "--on", "ray://127.0.0.1:9")
    assert code == 2
    assert err.splitlines()[-1].startswith("asyncrl: Cannot connect to ray://127.0.0.1:9:")
