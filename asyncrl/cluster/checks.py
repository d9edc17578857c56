"""Checks whether the nodes of a Ray cluster can train: one check for each node, for ``asyncrl doctor --on``."""

import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncrl.cluster.connection import connected
from asyncrl.kernels import native
from asyncrl.system.machine import Check
from asyncrl.text import counted, error_text, shorten

PACKAGES = ("asyncrl", "torch", "gymnasium", "numpy", "ray")
NODE_SECONDS = 120.0  # for an answer of a node: its process imports torch, and may compile the kernels
TRIPS = 5
WEIGHTS = 678_000  # numbers of the small network's weights for Pong
LONGEST = 300  # characters of a text of a node

INSTALL = "Install the same versions on each machine: pip install 'asyncrl[cluster]'"
RESTART = "Check whether this machine has free memory; then stop its node, and start it again: ray stop, ray start"


class Probe:
    """An actor that measures the node on which it runs."""

    def describe(self) -> tuple[dict[str, str], str]:
        """Return the versions of the node, and whether compiled kernels are used there."""
        native.load()
        return versions(), native.status()

    def echo(self, gradient: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return as many numbers as have come: a push and its answer."""
        return gradient + 1


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that nodes exchange objects of, as they are here."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def run_checks(on: str) -> Iterator[Check]:
    """Yield a check of the cluster, and one of each node.

    Args:
        on: see ``connection.connected``.

    Raises:
        InputError: see ``connection.connected``.
    """
    with connected(on) as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        cores = sum(map(_cores, nodes))
        advice = "" if cores > 1 else "A node needs a core for its agent, and one for each worker."
        yield Check("cluster", "warn" if advice else "ok", f"nodes: {len(nodes)}, cores: {cores}", advice)
        probes: list[Any] = []
        try:
            # all at once: each node imports torch
            probes.extend(_start_probe(ray, node) for node in nodes)
            for node, probe in zip(nodes, probes, strict=True):
                yield _check_node(ray, node, probe)
        finally:
            for probe in probes:
                with suppress(Exception):  # its node may be lost
                    ray.kill(probe)


def _cores(node: Mapping[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0))


def _start_probe(ray: Any, node: Mapping[str, Any]) -> Any:
    there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(Probe).options(num_cpus=0, scheduling_strategy=there).remote()


def _check_node(ray: Any, node: Mapping[str, Any], probe: Any) -> Check:
    """Check that a node has the versions of this process, and measure how long a push and its answer take."""
    host = node["NodeManagerHostname"]
    try:
        found, kernels = ray.get(probe.describe.remote(), timeout=NODE_SECONDS)
        milliseconds = 1000 * min(_trip(ray, probe) for _ in range(TRIPS))
    except ray.exceptions.GetTimeoutError:
        return Check("node", "fail", f"{host}: no answer within {NODE_SECONDS:.0f} s", RESTART)
    # Ray raises many kinds of errors, also those of the node's imports
    except Exception as error:
        is_lost = isinstance(error, ray.exceptions.RayActorError | ConnectionError)
        return Check("node", "fail", f"{host}: {_reason(error)}", RESTART if is_lost else INSTALL)
    own = versions()
    others = [f"{name} {found[name]}, {own[name]} here" for name in own if found[name] != own[name]]
    if others:
        return Check("node", "fail", shorten(f"{host}: {'; '.join(others)}", LONGEST), INSTALL)
    trip = f"a push of Pong's gradient and its answer: {milliseconds:.0f} ms"
    return Check("node", "ok", f"{host}: {counted(_cores(node), 'core')}, the same versions; kernels {kernels}; {trip}")


def _trip(ray: Any, probe: Any) -> float:
    """Return the seconds of a push and its answer."""
    start = time.perf_counter()
    ray.get(probe.echo.remote(np.zeros(WEIGHTS, np.float32)), timeout=NODE_SECONDS)
    return time.perf_counter() - start


def _reason(error: Exception) -> str:
    """Return the last line of an error's text, which is the cause where Ray has put a traceback of the node before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shorten(lines[-1] if lines else error_text(error), LONGEST)
