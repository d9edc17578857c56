"""The workers of all nodes, as a training session sees them: a WorkerPool behind a parameter server in this process."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from asyncrl.cluster.messages import Server
from asyncrl.cluster.repeating import backoff
from asyncrl.cluster.server import ParameterServer
from asyncrl.cluster.shards import Shards, WholeParameters
from asyncrl.events import Event, Incident, Severity, WorkerState
from asyncrl.runtime.control import NEVER, Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters

POLL_SECONDS = 0.1
COUNT_SECONDS = 0.5  # between two events with counts of pushes
RECENT_SECONDS = 600.0  # in which a node's losses are counted
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds before a lost node is started again, doubled by each recent loss


class NodeEnd(NamedTuple):
    """The end of a node."""

    node: int
    reason: str | None  # why it was lost; None: it has left


class NodeLauncher(Protocol):
    """Starts node agents somewhere, and carries their calls to a server in this process."""

    def start(self, node: int, incarnation: int, server: Server) -> None:
        """Start a node's agent, whose calls go to a server."""

    def serve(self, seconds: float) -> list[NodeEnd]:
        """Answer the calls of nodes, after waiting at most so long for the first; return which nodes have ended."""

    def close(self) -> None:
        """End all agents, with their workers."""


class ClusterPool:
    """A WorkerPool of several nodes, as a context manager that leaves no agent behind."""

    def __init__(
        self,
        job: Job,
        parameters: SharedParameters,
        control: Control,
        states: Mapping[int, WorkerState] | None,
        nodes: int,
        max_staleness: int,
        launcher: NodeLauncher,
        shards: Shards | None = None,
        count: int = 1,
    ) -> None:
        """Prepare; agents start when the context is entered.

        Args:
            job: the run's parts.
            parameters: θ, θ⁻, g, T.
            control: its orders go to all nodes.
            states: those of workers of an earlier session.
            nodes: how many there are.
            max_staleness: in updates; staler gradients are dropped.
            launcher: starts agents.
            shards: those of all parts of the parameters but the first; None: there is one part.
            count: how many parts there are.
        """
        self._job, self._parameters, self._control, self._launcher = job, parameters, control, launcher
        self._whole = WholeParameters(parameters, shards, count)
        self.server = ParameterServer(self._whole.first, control, nodes, max_staleness, states)
        self._incarnations = dict.fromkeys(range(nodes), 0)
        self._running: set[int] = set()
        self._counted_at = time.monotonic()
        self._restart_at: dict[int, float] = {}  # when a lost node is to be started again
        self._losses: dict[int, list[float]] = {node: [] for node in range(nodes)}  # times of the recent ones

    def __enter__(self) -> Self:
        """Start all nodes."""
        try:
            self._whole.write()
            for node in self._incarnations:
                self._start(node)
        except BaseException:
            self._launcher.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End all nodes."""
        self._launcher.close()

    def _start(self, node: int) -> None:
        self._restart_at.pop(node, None)
        self._incarnations[node] += 1
        self._running.add(node)
        self._launcher.start(node, self._incarnations[node], self.server)

    @property
    def states(self) -> Mapping[int, WorkerState]:
        """The latest state of each worker."""
        return self.server.states

    @property
    def is_running(self) -> bool:
        """Return whether more events may come."""
        return bool(self._running or self._restart_at)

    @property
    def _is_ending(self) -> bool:
        return self._control.is_stopping or self._parameters.T >= self._job.budget

    def events(self, timeout: float = POLL_SECONDS) -> Iterator[Event]:
        """Answer nodes for ``timeout`` seconds, and yield their events; start lost nodes again."""
        yield from self._mend_shards()
        ends = self._launcher.serve(timeout)
        yield from self.server.take_events()
        for end in ends:
            self._running.discard(end.node)
            self.server.forget(end.node)
            if end.reason is not None:
                yield self._handle_loss(end.node, end.reason)
        yield from self._counts()
        for node, due in list(self._restart_at.items()):
            if self._is_ending:
                del self._restart_at[node]
            elif time.monotonic() > due:
                self._start(node)
        if not self.is_running:
            self._whole.read()
            yield from self._mend_shards()

    def _mend_shards(self) -> Iterator[Event]:
        for shard in self._whole.mend():
            message = f"shard {shard + 1} was lost; its weights are those of the last pause"
            yield Incident("shard", Severity.RECOVERED, message, is_replaced=True)

    def _counts(self) -> Iterator[Event]:
        """Yield the counts of pushes, now and then and at the end."""
        if time.monotonic() > self._counted_at + COUNT_SECONDS or not self._running:
            self._counted_at = time.monotonic()
            counts = self.server.take_counts()
            if counts.outcomes:
                yield counts

    def _handle_loss(self, node: int, reason: str) -> Incident:
        """Have a lost node started again, unless it was lost too often; return the incident to report."""
        severity, is_replaced = Severity.RECOVERED, False
        if not self._is_ending:
            now = time.monotonic()
            recent = self._losses[node] = [at for at in self._losses[node] if now - at < RECENT_SECONDS] + [now]
            if len(recent) > self._job.restarts:
                severity = Severity.FATAL
            else:
                is_replaced = True
                self._restart_at[node] = now + backoff(FIRST_DELAY, LONGEST_DELAY, len(recent))
        return Incident("node", severity, f"node {node} was lost: {reason}", is_replaced=is_replaced)

    def park(self) -> Iterator[Event]:
        """Park all workers between two rollouts, yielding their events; nodes that join meanwhile park, too."""
        self._control.park()
        while not self.server.is_parked:
            yield from self.events(timeout=0.01)
        self._whole.read()

    def release(self, pause_at: int = NEVER) -> None:
        """Let parked workers continue, and park again, each after its current rollout, once T >= ``pause_at`` steps."""
        if self.is_running:
            self._whole.write()
            # the session may have gone back to a checkpoint
            self.server.renew_target()
        self._control.release(pause_at)

    def stop(self) -> None:
        """Ask all workers to end after the current rollout."""
        self._control.stop()
