"""A ParameterStore that applies gradients later than workers push them, for studies of staleness in simulated time."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn

from asyncrl.runtime.protocols import WorkerParameters


class Pending(NamedTuple):
    """A gradient that was pushed and is not applied yet."""

    push: int  # its number
    due: int  # the number of the push with which it is applied
    worker: int
    grad: Tensor  # [P]
    T: int  # at the push


class DelayedParameters:
    """Shared parameters whose ``apply`` is late by a number of updates of all workers.

    A gradient with a delay of d is applied together with the d-th push after its own. With a fixed delay each push but
    the first d ones applies exactly one gradient.
    """

    def __init__(self, parameters: WorkerParameters, draw: Callable[[int], int]) -> None:
        """Wrap parameters; ``draw`` returns the delay of a worker's next gradient."""
        self._parameters, self._draw = parameters, draw
        self.pushes = 0
        self.last_delay = 0  # of the last push
        self.pending: list[Pending] = []  # in the order of pushes

    def apply(self, worker: int, grad: Tensor, T: int) -> None:
        """Keep a copy of a gradient, and apply those that are due."""
        self.pushes += 1
        self.last_delay = self._draw(worker)
        self.pending.append(Pending(self.pushes, self.pushes + self.last_delay, worker, grad.clone(), T))
        due = [each for each in self.pending if each.due <= self.pushes]
        self.pending = [each for each in self.pending if each.due > self.pushes]
        for each in due:
            self._parameters.apply(each.worker, each.grad, each.T)

    def restore(self, pushes: int, pending: Iterable[Pending]) -> None:
        """Add gradients of a worker's saved state."""
        self.pushes = pushes
        self.pending = sorted([*self.pending, *pending])

    @property
    def T(self) -> int:
        """See ParameterStore."""
        return self._parameters.T

    @property
    def updates(self) -> int:
        """See ParameterStore."""
        return self._parameters.updates

    def steps(self, worker: int) -> int:
        """See WorkerParameters."""
        return self._parameters.steps(worker)

    def pull(self, local: Tensor) -> None:
        """See ParameterStore."""
        self._parameters.pull(local)

    def bind(self, net: nn.Module) -> None:
        """See ParameterStore."""
        self._parameters.bind(net)

    def bind_target(self, net: nn.Module) -> None:
        """See ParameterStore."""
        self._parameters.bind_target(net)

    def advance(self, worker: int, steps: int) -> tuple[int, int]:
        """See ParameterStore."""
        return self._parameters.advance(worker, steps)

    def sync_target(self, before: int, after: int) -> None:
        """See ParameterStore."""
        self._parameters.sync_target(before, after)
