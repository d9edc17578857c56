"""Simulated runs on nodes, in this process."""

from collections import Counter
from dataclasses import replace
from functools import partial

from asyncrl.cluster.push_costs import PushCosts
from asyncrl.cluster.simulated_nodes import NetworkNodes
from asyncrl.costs import Costs
from asyncrl.events import Interval, Pushes
from asyncrl.runtime.control import NEVER, Control
from asyncrl.runtime.outbox import Outbox
from asyncrl.runtime.simulated_process import SimulatedProcess
from asyncrl.runtime.simulation import Simulation
from tests.runtime.setups import prepare
from tests.runtime.test_simulated_time import Parent

FREE = PushCosts(0.0, 0.0, 0.0, 0.0, 0.0)
SLOW = PushCosts(delay=1e-3, per_byte=0.0, server=0.0, taking=0.0, receiving=0.0)
# a rollout of five steps and its update take 300 µs
COSTS = Costs(pull=20, act=20, environment=20, learn=50, apply=30)
ROLLOUT = 300e-6
CART = {"env": "CartPole-v1", "network": "mlp", "t_max": 5, "target_frames": 50}
CART |= {"exploration": {"anneal_frames": 200}}
# its episodes never end, so that all rollouts have the same length
FOREVER = {"env": "tests.toys:Forever", "network": "mlp", "algo": "a3c", "t_max": 5}


def simulate(
    nodes=1, push_every=1, max_staleness=10**6, costs=FREE, jitter=0.3, barriers=(NEVER,), job=None, parameters=None,
    saved=(), **table,
):  # fmt: skip
    """Run until the last barrier, or to the end; return the parent's end, the parameters and the job."""
    if job is None:
        job, parameters = prepare(cluster={"nodes": nodes}, **table)
        job = replace(job, simulation=Simulation(COSTS, jitter=jitter))
    make_nodes = partial(NetworkNodes, nodes=nodes, push_every=push_every, max_staleness=max_staleness, costs=costs)
    control = Control.allocate(job.workers)
    parent = Parent(control, barriers)
    SimulatedProcess(job, parameters, control, Outbox(parent), dict(saved), make_nodes).run()
    return parent, parameters, job


def seconds(parent):
    """Return the virtual seconds of a run."""
    return parent.events(Interval)[-1].clock


def outcomes(parent):
    """Return how many pushes there were of each kind."""
    found = Counter()
    for event in parent.events(Pushes):
        found.update({str(kind): count for kind, count in event.outcomes.items()})
    return found


def staleness(parent):
    """Return how many applied pushes there were, by binary digits of their staleness."""
    found = Counter()
    for event in parent.events(Pushes):
        found.update(event.staleness)
    return found
