"""The parameter server: it applies the pushes of nodes to the run's own SharedParameters, each once and in order."""

import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch

from asyncrl.cluster.messages import Answer, Joined, Orders, Push, Taken
from asyncrl.events import Event, Pushes, WorkerState
from asyncrl.optim import clip_
from asyncrl.runtime.control import Control
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.schedules import crossed


class Outcome(StrEnum):
    """What the server did with a push; the ends of names of columns."""

    APPLIED = "applied"
    EMPTY = "empty"  # it has no gradient
    STALE = "stale"  # the gradient was dropped
    NOT_FINITE = "not_finite"  # the gradient was dropped
    REPEATED = "repeated"  # nothing changed
    AHEAD = "ahead"  # nothing changed: an earlier push of the node is missing
    NOT_CURRENT = "not_current"  # nothing changed: it is of an old incarnation, or the node has not joined


@dataclass
class Node:
    """What the server knows of a node."""

    incarnation: int
    seq: int = 0  # of the last push that was taken
    taken: Taken = field(default_factory=Taken)
    parked_in: int = 0
    has_left: bool = False


class ParameterServer:
    """A Server in this process; its calls may come from several threads."""

    def __init__(
        self,
        parameters: SharedParameters,
        control: Control,
        nodes: int,
        max_staleness: int,
        states: Mapping[int, WorkerState] | None = None,
    ) -> None:
        """Serve a run's parameters.

        Args:
            parameters: θ, θ⁻, g, T, with a counter for each worker of all nodes.
            control: its orders go to all nodes.
            nodes: how many there are; each has an equal share of the workers, in order.
            max_staleness: in updates; staler gradients are dropped.
            states: those of workers of an earlier session.
        """
        if parameters.workers % nodes:
            raise ValueError(f"{parameters.workers} workers cannot be divided among {nodes} nodes")
        self.parameters, self.control, self.max_staleness = parameters, control, max_staleness
        self.states = dict(states or {})  # the latest of each worker
        self.nodes: dict[int, Node] = {}
        self._share, self._count = parameters.workers // nodes, nodes
        self._outcomes: Counter[Outcome] = Counter()
        self._staleness: Counter[int] = Counter()
        self._targets = 1  # the number of the present θ⁻
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def join(self, node: int, incarnation: int) -> Joined:
        """See Server; an older incarnation than the present one gets an answer that is not current."""
        workers = self._workers(node)
        with self._lock:
            known = self.nodes.get(node)
            if known is None or known.incarnation < incarnation:
                self.nodes[node] = Node(incarnation)
            # A worker that has counted more steps than its saved state begins new episodes.
            states = (self.states[i] for i in workers if i in self.states)
            current = (each for each in states if each.state["steps"] == self.parameters.steps(each.worker))
            steps = tuple(self.parameters.steps(worker) for worker in workers)
            return Joined(self._answer(node, incarnation, 0), steps, tuple(current))

    def push(self, push: Push) -> Answer:
        """See Server; raise ValueError where a push is not of this run, before anything is changed."""
        with self._lock:
            outcome = self._take(push)
            self._outcomes[outcome] += 1
            return self._answer(push.node, push.incarnation, push.targets)

    def leave(self, node: int, incarnation: int) -> None:
        """See Server."""
        with self._lock:
            if self._is_current(node, incarnation):
                self.nodes[node].has_left = True

    def forget(self, node: int) -> None:
        """Wait no longer for a node that has ended or was lost."""
        with self._lock:
            self.nodes.pop(node, None)

    def renew_target(self) -> None:
        """Send θ⁻ to all nodes again, where it may have been written by others than nodes."""
        with self._lock:
            self._targets += 1

    def _workers(self, node: int) -> range:
        if not 0 <= node < self._count:
            raise ValueError(f"there is no node {node}")
        return range(node * self._share, (node + 1) * self._share)

    def _check(self, push: Push) -> None:
        workers, size = self._workers(push.node), len(self.parameters.theta)
        if len(push.steps) != len(workers) or min(push.steps) < 0:
            raise ValueError(f"node {push.node} has pushed steps {push.steps} of {len(workers)} workers")
        if push.gradient is not None and (push.gradient.shape != (size,) or push.gradient.dtype != np.float32):
            found = f"{push.gradient.dtype} {push.gradient.shape}"
            raise ValueError(f"node {push.node} has pushed a gradient of {found}; θ is float32 ({size},)")

    def _is_current(self, node: int, incarnation: int) -> bool:
        known = self.nodes.get(node)
        return known is not None and known.incarnation == incarnation

    def _take(self, push: Push) -> Outcome:
        if not self._is_current(push.node, push.incarnation):
            return Outcome.NOT_CURRENT
        node = self.nodes[push.node]
        if push.seq != node.seq + 1:
            return Outcome.REPEATED if push.seq <= node.seq else Outcome.AHEAD
        self._check(push)
        start = self.parameters.T
        outcome = self._apply(push)
        node.taken = Taken(start, outcome is Outcome.APPLIED)
        node.seq, node.parked_in = push.seq, push.parked_in
        self._events += push.events
        self.states |= {state.worker: state for state in push.states}
        return outcome

    def _apply(self, push: Push) -> Outcome:
        """Count the steps of a push, and apply its gradient as one update, as ``ActorLearner.update`` does."""
        workers, parameters = self._workers(push.node), self.parameters
        start = parameters.T
        for worker, steps in zip(workers, push.steps, strict=True):
            parameters.advance(worker, steps)
        outcome = Outcome.EMPTY
        if push.gradient is not None:
            gradient = torch.tensor(push.gradient)  # a copy: what Ray has received may not be written
            staleness = parameters.updates - push.base_version
            if not 0 <= staleness <= self.max_staleness:
                outcome = Outcome.STALE
            elif not math.isfinite(clip_(gradient, None)):
                outcome = Outcome.NOT_FINITE
            else:
                outcome = Outcome.APPLIED
                parameters.apply(workers[0], gradient, start)
                self._staleness[staleness.bit_length()] += 1
        end = parameters.T
        parameters.sync_target(start, end)
        self._targets += parameters.target_period is not None and crossed(start, end, parameters.target_period)
        return outcome

    def _answer(self, node: int, incarnation: int, targets: int) -> Answer:
        parameters, known = self.parameters, self.nodes.get(node)
        return Answer(
            is_current=self._is_current(node, incarnation),
            seq=known.seq if known else 0,
            version=parameters.updates,
            T=parameters.T,
            theta=parameters.theta.copy(),
            target=None if targets == self._targets else parameters.vectors["target"].copy(),
            targets=self._targets,
            orders=Orders(self.control.pause, self.control.pause_at, self.control.is_stopping),
            taken=known.taken if known else Taken(),
        )

    def take_counts(self) -> Pushes:
        """Return how many pushes there were of each kind since the last call."""
        with self._lock:
            counts = Pushes({str(name): n for name, n in self._outcomes.items()}, dict(self._staleness))
            self._outcomes.clear()
            self._staleness.clear()
            return counts

    def take_events(self) -> list[Event]:
        """Return the events that nodes have pushed since the last call."""
        with self._lock:
            events, self._events = self._events, []
            return events

    @property
    def is_parked(self) -> bool:
        """Return whether all workers of all nodes are parked in the present pause, or have ended."""
        with self._lock:
            return all(node.has_left or node.parked_in == self.control.pause for node in self.nodes.values())
