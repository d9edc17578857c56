"""Frames per second of one training on many machines, without any: ``python -m benchmarks.nodes``.

A model of discrete events with the costs of simulated time, for Pong. Nothing is learned: workers, node agents, the
link of the parameter server and the server only take time. Nodes push as ``asyncrl.cluster.agent`` does. The link takes
one gradient and one answer at a time, in order of arrival, and so does the server. No node is on the server's machine.
With shards each server has its own link and its part of the work: first the parameter server, then all shards at once.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product
from typing import Annotated, NamedTuple, TypeVar

import typer

from asyncrl.cluster.agent import PUSH_SECONDS
from asyncrl.cluster.checks import WEIGHTS
from asyncrl.cluster.push_costs import PushCosts, push_costs
from asyncrl.cluster.simulated_nodes import Network
from asyncrl.costs import Costs, default_costs
from asyncrl.runtime.simulation import MICROSECOND, Durations, Simulation
from asyncrl.setting_sections import Cluster, Simulated

T_MAX, FRAMES_PER_STEP = 5, 4
BYTES = 4 * WEIGHTS  # of a gradient, and of θ
WARM_UP, MEASURED = 5, 20  # pushes of each node
WARM_UP_SECONDS, MEASURED_SECONDS = 0.2, 0.5  # virtual, at least
COLUMNS = ("Gb/s", "push_every", "nodes", "frames/s", "of linear", "pushes/s", "updates a push", "staleness", "dropped",
           "lag", "link", "server")  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Nodes, and what takes time; in seconds."""

    nodes: int
    workers: int  # of each node
    push_every: int
    rollout: float  # of a worker, with its update
    link: float  # that a gradient, or an answer, or a part of one, occupies a server's link
    delay: float = 0.0  # of the network, each way
    server: float = 0.0  # that a server needs for a push, or for a part of one
    taking: float = 0.0  # that an agent needs before a push
    receiving: float = 0.0  # and after the answer
    jitter: float = 0.0  # σ of the logarithm of a rollout's duration
    max_staleness: int = Cluster().max_staleness
    shards: int = 1


@dataclass
class Totals:
    """Sums since the start."""

    seconds: float = 0.0
    updates: int = 0  # of workers
    pushes: int = 0
    pushed: int = 0  # updates in pushes
    staleness: int = 0  # of all pushes
    dropped: int = 0  # pushes that were too stale
    lag: int = 0  # of all pushes: gradients of other pushes between its oldest weights and its application

    def since(self, other: "Totals") -> "Totals":
        """Return the sums since earlier ones."""
        return Totals(*(now - before for now, before in zip(vars(self).values(), vars(other).values(), strict=True)))


class Weights(NamedTuple):
    """Which weights a node has."""

    version: int = 0  # updates of θ by the server
    gradients: int = 0  # of workers that these updates had


START = Weights()
Number = TypeVar("Number", int, float)


@dataclass
class Node:
    """A node agent."""

    weights: Weights = START
    pending: int = 0  # updates that were not pushed
    oldest: Weights = START  # of those that pending updates were computed with
    waiting: list[int] = field(default_factory=list)  # workers
    is_pushing: bool = False
    answers: int = 0


class Model:
    """All nodes and the servers."""

    def __init__(self, setting: Setting) -> None:
        """Start all workers."""
        self.setting, self.totals = setting, Totals()
        phase = {"pull": setting.rollout / MICROSECOND, "environment": 1, "act": 0, "learn": 0, "apply": 0}
        simulation = Simulation(Costs.model_validate(phase), jitter=setting.jitter)
        self._nodes = [Node() for _ in range(setting.nodes)]
        self._weights = START
        costs = PushCosts(setting.delay, setting.link, setting.server, setting.taking, setting.receiving)
        self._networks = [Network(costs)]
        if setting.shards > 1:
            # the parameter server decides what the shards apply; their parts arrive at the same times
            self._networks = [Network(costs._replace(receiving=0.0)), Network(costs._replace(taking=0.0))]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._now = count(), 0.0
        workers = setting.nodes * setting.workers
        self._durations = [Durations(simulation, 1, i) for i in range(workers)]
        self._pulled = [START] * workers
        for i in range(workers):
            # spread over a rollout, but all at once without jitter
            self._now = setting.rollout * i / workers if setting.jitter else 0.0
            self._start_rollout(i)

    def _at(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (seconds, next(self._order), call))

    def run(self, pushes: int, seconds: float) -> Totals:
        """Continue until each node has made so many pushes more, on average, and return the sums."""
        last, end = self.totals.pushes + pushes * self.setting.nodes, self.totals.seconds + seconds
        while self.totals.pushes < last or self.totals.seconds < end:
            self._now, _, call = heapq.heappop(self._events)
            self.totals.seconds = self._now
            call()
        return Totals(**vars(self.totals))

    def _start_rollout(self, worker: int) -> None:
        self._pulled[worker] = self._nodes[worker // self.setting.workers].weights
        duration = self._durations[worker].seconds("pull", 1)
        self._at(self._now + duration, partial(self._end_rollout, worker))

    def _end_rollout(self, worker: int) -> None:
        node, pulled = self._nodes[worker // self.setting.workers], self._pulled[worker]
        node.oldest = min(node.oldest, pulled) if node.pending else pulled
        node.pending += 1
        self.totals.updates += 1
        if self.setting.push_every == 1:
            node.waiting.append(worker)
        else:
            self._start_rollout(worker)
        self._push_if_due(node)

    def _push_if_due(self, node: Node) -> None:
        if node.pending >= self.setting.push_every and not node.is_pushing:
            self._push(node)

    def _push(self, node: Node) -> None:
        """Send a node's gradient; pushes reach the server in the order in which they are sent."""
        setting, totals = self.setting, self.totals
        staleness = self._weights.version - node.oldest.version
        totals.pushes += 1
        totals.pushed += node.pending
        totals.staleness += staleness
        totals.lag += self._weights.gradients - node.oldest.gradients
        if staleness > setting.max_staleness:
            totals.dropped += 1
        else:
            self._weights = Weights(self._weights.version + 1, self._weights.gradients + node.pending)
        answered = self._now
        for network in self._networks:
            answered = network.answered(network.arrival(answered, 1), 1)
        answer = partial(self._receive, node, self._weights, node.waiting)
        node.is_pushing, node.pending, node.waiting = True, 0, []
        self._at(answered, answer)

    def _receive(self, node: Node, weights: Weights, released: list[int]) -> None:
        node.weights, node.is_pushing = weights, False
        node.answers += 1
        for worker in released:
            self._start_rollout(worker)
        self._push_if_due(node)
        self._at(self._now + PUSH_SECONDS, partial(self._push_few, node, node.answers))

    def _push_few(self, node: Node, answers: int) -> None:
        """Push fewer updates than ``push_every``, where nothing was pushed since an answer."""
        if node.pending and not node.is_pushing and node.answers == answers:
            self._push(node)


def measure(setting: Setting) -> Totals:
    """Return the sums of a part of a run that does not contain its start."""
    model = Model(setting)
    before = model.run(WARM_UP, WARM_UP_SECONDS)
    return model.run(MEASURED, MEASURED_SECONDS).since(before)


def for_pong(
    nodes: int, workers: int, push_every: int, gigabits: float, delay: float, server: float | None, shards: int = 1
) -> Setting:
    """Return a setting with the package's costs of A3C on Pong.

    Args:
        nodes: how many.
        workers: of each node.
        push_every: updates between two pushes.
        gigabits: of a server's link, each way, per second.
        delay: of the network, each way, in seconds.
        server: seconds that one server needs for a push; None: those of an update and of two copies of θ.
        shards: even parts of θ, each on a server of its own.
    """
    costs = default_costs("nips", "atari")
    phases = [costs.pull.of(1), costs.learn.of(T_MAX), costs.apply.of(1)]
    phases += [costs.act.of(1), costs.environment.of(1)] * T_MAX
    push = push_costs(costs, delay, gigabits)
    return Setting(
        nodes=nodes,
        workers=workers,
        push_every=push_every,
        rollout=sum(phases) * MICROSECOND,
        link=BYTES * push.per_byte / shards,
        delay=delay,
        server=(push.server if server is None else server) / shards,
        shards=shards,
        taking=push.taking,
        receiving=push.receiving,
        # that of a sum of phases, each with the default spread
        jitter=Simulated().jitter * math.hypot(*phases) / sum(phases),
    )


def cells(setting: Setting) -> list[str]:
    """Return a row of the table, without its first cell."""
    found = measure(setting)
    updates = found.updates / found.seconds
    linear = setting.nodes * setting.workers / setting.rollout
    return [
        f"{setting.push_every}",
        f"{setting.nodes}",
        f"{updates * T_MAX * FRAMES_PER_STEP:,.0f}",
        f"{updates / linear:.0%}",
        f"{found.pushes / found.seconds:,.0f}",
        f"{found.pushed / found.pushes:.1f}",
        f"{found.staleness / found.pushes:.1f}",
        f"{found.dropped / found.pushes:.0%}",
        f"{found.lag / found.pushes:,.0f}",
        f"{found.pushes * setting.link / found.seconds:.0%}",
        f"{found.pushes * setting.server / found.seconds:.0%}",
    ]


def numbers(text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Return the numbers of an option, which are separated by commas; raise BadParameter where one is not above 0."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    # NaN is not above 0 either
    if not found or not all(0 < each for each in found):
        raise typer.BadParameter(f"{text!r} is not a list of {'whole ' * (kind is int)}numbers above 0, such as 1,10")
    return found


def row(*texts: str) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(texts) + " |"


def main(
    links: Annotated[str, typer.Option(help="Gb/s of a server's link, each way.")] = "1,10,100",
    push_every: Annotated[str, typer.Option(help="Updates of a node between two pushes.")] = "1,5,20",
    nodes: Annotated[str, typer.Option(help="Numbers of nodes.")] = "1,2,4,8,16,32,64",
    threads: Annotated[int, typer.Option(help="Workers of each node.", min=1)] = 16,
    delay: Annotated[float, typer.Option(help="Milliseconds that a message is under way, besides.", min=0)] = 0.1,
    server: Annotated[
        float | None, typer.Option(help="Milliseconds that one server needs for a push.  [default: computed]", min=0)
    ] = None,
    shards: Annotated[int, typer.Option(help="Parts of θ, each on a server of its own.", min=1)] = 1,
) -> None:
    """Print the table."""
    cases = product(numbers(links, float), numbers(push_every, int), numbers(nodes, int))
    seconds = None if server is None else server / 1000
    print(f"{row(*COLUMNS)}\n{row(*['---:'] * len(COLUMNS))}", flush=True)
    for gigabits, every, number in cases:
        setting = for_pong(number, threads, every, gigabits, delay / 1000, seconds, shards)
        print(row(f"{gigabits:g}", *cells(setting)), flush=True)


if __name__ == "__main__":
    typer.run(main)
