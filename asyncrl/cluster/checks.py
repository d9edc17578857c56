"""Checks whether the nodes of a Ray cluster can train: one check for each node, for ``asyncrl doctor --on``."""

import platform
import socket
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncrl.cluster.connection import connected
from asyncrl.kernels import native
from asyncrl.system.machine import Check
from asyncrl.text import error_text, one_line

PACKAGES = ("asyncrl", "torch", "gymnasium", "numpy", "ray")
NODE_SECONDS = 120.0  # for a node's first answer: its process imports torch
TRIPS = 5
WEIGHTS = 678_000  # numbers of the small network's weights for Pong

INSTALL = "Install the same versions on each machine: pip install 'asyncrl[cluster]'"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that nodes exchange objects of, as they are here."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


class Visitor:
    """An actor that looks at a node."""

    def look(self) -> tuple[str, dict[str, str], str]:
        """Return the machine's name, its versions, and whether compiled kernels are used there."""
        native.load()
        return socket.gethostname(), versions(), native.status()

    def echo(self, gradient: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return as many numbers as have come: a push and its answer."""
        return gradient + 1


def run_checks(on: str) -> Iterator[Check]:
    """Yield a check of the cluster, and one of each node.

    Args:
        on: see ``connection.connected``.

    Raises:
        InputError: see ``connection.connected``.
    """
    with connected(on) as ray:
        alive = [node for node in ray.nodes() if node["Alive"]]
        cores = int(sum(node["Resources"].get("CPU", 0) for node in alive))
        advice = "" if cores > 1 else "A node needs a core for its agent, and one for each worker."
        yield Check("cluster", "warn" if advice else "ok", f"nodes: {len(alive)}, cores: {cores}", advice)
        for node in alive:
            try:
                yield check_node(ray, node)
            # Ray raises many kinds of errors, also those of the node's imports
            except Exception as error:
                reason = one_line(error_text(error))[:300]
                yield Check("node", "fail", f"{node['NodeManagerHostname']}: {reason}", INSTALL)


def check_node(ray: Any, node: dict[str, Any]) -> Check:
    """Check that a node has the versions of this process, and measure how long a push and its answer take."""
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    visitor = ray.remote(Visitor).options(num_cpus=0, scheduling_strategy=here).remote()
    try:
        host, found, kernels = ray.get(visitor.look.remote(), timeout=NODE_SECONDS)
        seconds = []
        for _ in range(TRIPS):
            start = time.perf_counter()
            ray.get(visitor.echo.remote(np.zeros(WEIGHTS, np.float32)), timeout=NODE_SECONDS)
            seconds.append(time.perf_counter() - start)
    finally:
        ray.kill(visitor)
    own = versions()
    others = [f"{name} {found[name]}, {own[name]} here" for name in own if found[name] != own[name]]
    if others:
        return Check("node", "fail", f"{host}: {'; '.join(others)}", INSTALL)
    cores = int(node["Resources"].get("CPU", 0))
    trip = f"a push of Pong's gradient and its answer: {1000 * min(seconds):.0f} ms"
    return Check("node", "ok", f"{host}: {cores} cores, the same versions; kernels {kernels}; {trip}")
