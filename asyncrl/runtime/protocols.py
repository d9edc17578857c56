"""The two protocols that let processes, simulated time and several machines stand in for each other.

An actor-learner knows only a ParameterStore; a training session knows only a WorkerPool and SessionParameters.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncrl.events import Event, WorkerState
from asyncrl.optim import LearningRate

Vector: TypeAlias = NDArray[np.float32]


class ParameterStore(Protocol):
    """What an actor-learner needs of the shared numbers, wherever they live."""

    @property
    def T(self) -> int:
        """The global step counter."""

    @property
    def updates(self) -> int:
        """How many updates have been applied to θ."""

    def pull(self, local: Tensor) -> None:
        """Copy θ to ``[P]`` local weights: θ′ ← θ."""

    def bind(self, net: nn.Module) -> None:
        """Let a network act and learn with the shared θ itself (Algorithm 1)."""

    def bind_target(self, net: nn.Module) -> None:
        """Let a network evaluate θ⁻."""

    def advance(self, worker: int, steps: int) -> tuple[int, int]:
        """Count a worker's steps; return T before and after."""

    def apply(self, worker: int, grad: Tensor, T: int) -> None:
        """Update θ with a worker's clipped ``[P]`` gradient, at the learning rate of T."""

    def sync_target(self, before: int, after: int) -> None:
        """θ⁻ ← θ where T has crossed a multiple of I_target."""


class WorkerParameters(ParameterStore, Protocol):
    """What the host of an actor-learner needs of the shared numbers besides."""

    def steps(self, worker: int) -> int:
        """Return how many steps a worker has counted."""


class SessionParameters(WorkerParameters, Protocol):
    """What a training session needs of the shared numbers besides: checkpoints, evaluations, checks."""

    @property
    def workers(self) -> int:
        """How many workers count their steps."""

    @property
    def learning_rate(self) -> LearningRate:
        """η by T."""

    @property
    def evaluation_weights(self) -> Vector:
        """``[P]`` weights that evaluations use, read-only."""

    def tensors(self) -> dict[str, Tensor]:
        """Return a copy of all that a checkpoint must hold, by name."""

    def restore_vectors(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the vectors from a checkpoint, and leave all counters as they are."""

    def nonfinite(self) -> list[str]:
        """Return which of the vectors hold a number that is not finite."""


class WorkerPool(Protocol):
    """What a training session needs of the actor-learners, whatever drives them."""

    @property
    def states(self) -> Mapping[int, WorkerState]:
        """The latest state of each worker, for a checkpoint."""

    @property
    def is_running(self) -> bool:
        """Whether more events may come."""

    def __enter__(self) -> Self:
        """Start all workers, or none."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End all workers and leave nothing behind."""

    def events(self, timeout: float = ...) -> Iterator[Event]:
        """Yield the workers' events, after waiting at most ``timeout`` seconds for the first; keep the pool at work."""

    def park(self) -> Iterator[Event]:
        """Park all workers between two rollouts, yielding their events; ``states`` is then up to date."""

    def release(self, pause_at: int) -> None:
        """Let parked workers continue, and park again, each after its current rollout, once T >= ``pause_at`` steps.

        Called before workers start, it only sets ``pause_at``.
        """

    def stop(self) -> None:
        """Ask all workers to end after the current rollout."""
