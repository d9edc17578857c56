"""The nodes of a simulated run: where workers find parameters, and when they may begin a rollout."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from asyncrl.events import Event
from asyncrl.runtime.control import Control
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.protocols import WorkerParameters

Due: TypeAlias = tuple[float, int]  # virtual seconds, and what goes on then: a worker, or W + the number of a node


class Nodes(Protocol):
    """What the process of a simulated run needs of the nodes."""

    due: list[Due]  # that were added by the last call; the process takes them out

    def parameters(self, worker: int) -> WorkerParameters:
        """Return what a worker pulls from and applies gradients to."""

    def begin(self, times: Sequence[float]) -> None:
        """Begin, or go on after a barrier, with the virtual times of all workers."""

    def enter(self, worker: int, now: float) -> bool:
        """Return whether a worker may begin a rollout; if not, it waits, and will be in ``due``."""

    def park(self, worker: int) -> None:
        """Take in that a worker has stopped at a barrier."""

    def advance(self, node: int, now: float) -> None:
        """Do what a node is due to do."""

    def end(self) -> None:
        """Count and apply all that workers have done, once all have stopped at a barrier and nothing is due."""

    def take_events(self) -> list[Event]:
        """Return events of the nodes since the last call."""


MakeNodes = Callable[[SharedParameters, Control], Nodes]  # picklable


class OneNode:
    """One machine, whose workers share memory: none waits for another."""

    def __init__(self, parameters: WorkerParameters) -> None:
        """Give all workers the same parameters."""
        self.due: list[Due] = []
        self._parameters = parameters

    def parameters(self, worker: int) -> WorkerParameters:
        """See Nodes."""
        return self._parameters

    def begin(self, times: Sequence[float]) -> None:
        """See Nodes."""

    def enter(self, worker: int, now: float) -> bool:
        """See Nodes."""
        return True

    def park(self, worker: int) -> None:
        """See Nodes."""

    def advance(self, node: int, now: float) -> None:
        """See Nodes."""

    def end(self) -> None:
        """See Nodes."""

    def take_events(self) -> list[Event]:
        """See Nodes."""
        return []
