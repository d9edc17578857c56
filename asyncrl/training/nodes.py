"""Runs on several nodes: which settings they take, and the nodes of a simulated run."""

import math
from functools import partial

from asyncrl.cluster.node_parameters import NodeParameters
from asyncrl.cluster.push_costs import push_costs
from asyncrl.cluster.simulated_nodes import NetworkNodes
from asyncrl.config import RunConfig
from asyncrl.costs import Costs
from asyncrl.errors import InputError
from asyncrl.runtime.simulated_nodes import MakeNodes

MILLISECOND = 1e-3


def check(config: RunConfig) -> None:
    """Raise InputError if a run on several nodes has settings that are for one."""
    nodes, shards, settings = config.cluster.nodes, config.cluster.shards, config.simulated
    if nodes == 1:
        return
    if config.algo == "a2c":
        raise InputError(f"cluster.nodes is {nodes}, but a2c uses one node; use a3c.")
    if config.is_simulated and (settings.delay or settings.cores is not None):
        name = "delay" if settings.delay else "cores"
        raise InputError(f"cluster.nodes is {nodes}, but simulated.{name} is for one node; leave one of them out.")
    if config.is_simulated and shards > 1:
        raise InputError(f"cluster.shards is {shards}, but simulated nodes have one parameter server; leave it out.")


def require_cluster(config: RunConfig, has_cluster: bool) -> None:
    """Raise InputError if a run needs a cluster and has none, or has one and cannot use it."""
    nodes = config.cluster.nodes
    if config.is_simulated and has_cluster:
        raise InputError("clock is simulated: such a run is one process of this machine; leave out --on.")
    if nodes > 1 and not (has_cluster or config.is_simulated):
        raise InputError(
            f"cluster.nodes is {nodes}: train this run on a cluster, with --on ray, or in simulated time, with --clock "
            "simulated."
        )


def simulated_nodes(config: RunConfig, costs: Costs) -> MakeNodes | None:
    """Return what makes the nodes of a simulated run with these costs; None for one node."""
    settings, network = config.cluster, config.simulated
    if settings.nodes == 1:
        return None
    gigabits = math.inf if network.network_gbps is None else network.network_gbps
    return partial(
        NetworkNodes,
        nodes=settings.nodes,
        push_every=settings.push_every,
        max_staleness=settings.max_staleness,
        costs=push_costs(costs, MILLISECOND * network.network_delay_ms, gigabits),
    )


def memory(config: RunConfig, parameters: int) -> int:
    """Return how many bytes of shared memory the nodes of a simulated run take on this machine."""
    settings = config.cluster
    return settings.nodes * NodeParameters.size(parameters) if settings.nodes > 1 and config.is_simulated else 0
