"""The node agent: it runs a node's workers with the local runtime, and pushes what they add to the server."""

import time
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from asyncrl.cluster.messages import Answer, Orders, Push, Server
from asyncrl.cluster.node_parameters import NodeParameters
from asyncrl.cluster.repeating import repeat
from asyncrl.events import Event, WorkerState
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.supervisor import ProcessPool
from asyncrl.system import machine

PUSH_SECONDS = 0.05  # after which fewer than ``push_every`` updates are pushed
IDLE_SECONDS = 0.05  # between two pushes without a gradient, by which events and orders travel
EVENT_SECONDS = 0.02  # between two reads of the workers' events
SHORTEST_SLEEP, LONGEST_SLEEP = 0.0001, 0.001  # between two polls: where each update is pushed, or several together


class SupersededError(Exception):
    """The server knows a newer incarnation of this node, or none."""


class NodeAgent:
    """One node of a training, as a context manager that leaves no process behind."""

    def __init__(
        self, job: Job, node: int, nodes: int, incarnation: int, server: Server, push_every: int, patience: float = 60.0
    ) -> None:
        """Join a server.

        Args:
            job: the run's parts, with the learners of all nodes.
            node: the number of this node.
            nodes: how many there are.
            incarnation: greater than that of earlier starts of this node.
            server: the parameter server.
            push_every: updates of all workers between two pushes; 1: each worker waits for the answer.
            patience: seconds for which a failing call is repeated.

        Raises:
            SupersededError: the server knows a newer incarnation.
            ConnectionError: the server did not answer in time.
        """
        share = job.workers // nodes
        workers = range(node * share, (node + 1) * share)
        self.node, self.incarnation, self._patience = node, incarnation, patience
        self._server, self._push_every, self._seq = server, push_every, 0
        joined = repeat(partial(server.join, node, incarnation), patience)
        self._check(joined.answer)
        self.parameters = NodeParameters(joined, workers, job.workers, waits=push_every == 1)
        available = machine.cores()
        has_turns = job.cores is not None and len(workers) > available
        own = replace(job, cores=available if has_turns else None)
        self._control = Control.allocate(job.workers)
        self.pool = ProcessPool(
            own, self.parameters, self._control, {state.worker: state for state in joined.states}, workers
        )
        self._pause = 0  # the server's number of the pause that the workers here will make next
        self._obey(joined.answer.orders)
        self._events: list[Event] = []
        self._pushed_at = self._read_at = time.monotonic()
        self._parked_in = 0

    def __enter__(self) -> Self:
        """Start the workers."""
        self.pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End the workers."""
        self.pool.__exit__(kind, error, tb)

    def run(self) -> None:
        """Train until the server's T reaches the budget, or the server asks for the end; then leave.

        Raises:
            SupersededError: the server knows a newer incarnation of this node.
            ConnectionError: the server did not answer in time.
        """
        while self.pool.is_running:
            if not self.poll():
                time.sleep(SHORTEST_SLEEP if self._push_every == 1 else LONGEST_SLEEP)
        self._push(is_last=True)
        repeat(partial(self._server.leave, self.node, self.incarnation), self._patience)

    def poll(self) -> bool:
        """Read the workers' events, and push where it is due; return whether a push was made.

        While the server does not answer, no worker is taken to hang, since their progress is not observed.
        """
        now = time.monotonic()
        if now - self._read_at > EVENT_SECONDS:
            self._read_at = now
            self._events += self.pool.events(0.0)
        pending, passed = self.parameters.pending, now - self._pushed_at
        is_due = pending >= self._push_every or (self._push_every > 1 and pending and passed > PUSH_SECONDS)
        if is_due or passed > IDLE_SECONDS:
            self._push()
            return True
        return False

    def _push(self, is_last: bool = False) -> None:
        # not yet with a gradient: it may still be under way to other shards when the session reads them
        is_parked = self.pool.is_running and self.pool.is_parked and not self.parameters.pending
        states: tuple[WorkerState, ...] = ()
        if is_last or (is_parked and self._parked_in != self._pause):
            states = tuple(self.pool.states.values())
        self._parked_in = self._pause if is_parked else 0
        self._seq += 1
        push = Push(
            node=self.node,
            incarnation=self.incarnation,
            seq=self._seq,
            **self.parameters.take(is_complete=is_parked or is_last)._asdict(),
            events=tuple(self._events),
            states=states,
            targets=self.parameters.targets,
            parked_in=self._parked_in,
        )
        self._events = []
        answer = self._check(repeat(partial(self._server.push, push), self._patience))
        self._pushed_at = time.monotonic()
        self.parameters.receive(answer)
        self._obey(answer.orders)

    def _obey(self, orders: Orders) -> None:
        if orders.is_stopping:
            self.pool.stop()
        if orders.pause != self._pause:
            self._pause = orders.pause
            self.pool.release(orders.pause_at)
        elif orders.pause_at == 0:
            self._control.park()

    def _check(self, answer: Answer) -> Answer:
        if not answer.is_current:
            raise SupersededError(f"node {self.node} was replaced by a newer incarnation than {self.incarnation}")
        return answer
