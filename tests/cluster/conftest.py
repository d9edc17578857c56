"""Two nodes of Ray on this machine, with a token."""

import os
import shutil
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.cluster import STORE_BYTES, ray_variables
from tests.runtime.setups import wait_until

NOTICE_SECONDS = 60
AGENTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


class Nodes:
    """A cluster of a head without cores for work, and nodes that come and go."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.address = cluster.address

    def add(self, cores=1):
        """Return a new node."""
        return self._cluster.add_node(num_cpus=cores, object_store_memory=STORE_BYTES, **free_ports())

    def remove(self, node):
        """Kill a node with all that runs on it, and wait: the head would give it work until it notices."""
        self._cluster.remove_node(node, allow_graceful=False)
        assert wait_until(lambda: node.node_id not in self._cluster.global_state._live_node_ids(), NOTICE_SECONDS)


def free_ports():
    """Return ports of a node's agents: Ray waits for fifteen seconds for those that the agents choose themselves."""
    sockets = [socket.create_server(("", 0)) for _ in AGENTS]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return dict(zip(AGENTS, ports, strict=True))


def make_patient(services, folder):
    """Let raylets wait for no agent: Ray does not pass them this port, and after thirty seconds without it they die."""
    script = Path(folder) / "raylet"
    script.write_text(f'#!/bin/sh\nexec {services.RAYLET_EXECUTABLE} "$@" --dashboard_agent_listen_port=1\n')
    script.chmod(0o700)
    services.RAYLET_EXECUTABLE = str(script)


@pytest.fixture(scope="session")
def nodes():
    """Return a cluster, and end all of its processes afterwards."""
    if find_spec("ray") is None:
        pytest.skip("needs the extra cluster")
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    # not in tmp_path_factory's directory: its name is too long
    variables = ray_variables(tempfile.mkdtemp(prefix="ray-")) | {"PYTHONPATH": path}
    os.makedirs(f"{variables['RAY_TMPDIR']}/ray")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    # only now: Ray reads its variables when it is imported
    import ray
    from ray._private import services
    from ray.cluster_utils import Cluster

    make_patient(services, variables["RAY_TMPDIR"])
    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head | free_ports())
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield Nodes(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(variables["RAY_TMPDIR"], ignore_errors=True)
        del os.environ["RAY_ADDRESS"]
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
