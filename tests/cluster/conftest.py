"""Two nodes of Ray on this machine, with a token."""

import os
import secrets

import pytest

STORE_BYTES = 78_643_200  # the least that Ray takes


class Nodes:
    """A cluster of a head without cores for work, and nodes that come and go."""

    def __init__(self, cluster):
        self._cluster = cluster
        self.address = cluster.address

    def add(self, cores=1):
        """Return a new node."""
        return self._cluster.add_node(num_cpus=cores, object_store_memory=STORE_BYTES)

    def remove(self, node):
        """Kill a node with all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory):
    """Return a cluster, and end all of its processes afterwards."""
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        # short: the names of its sockets may not be longer than about a hundred characters
        "RAY_TMPDIR": f"/tmp/asyncrl-ray-{os.getpid()}",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])),
    }
    os.makedirs(f"{variables['RAY_TMPDIR']}/ray")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield Nodes(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()
        del os.environ["RAY_ADDRESS"]
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
