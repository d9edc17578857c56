"""The numbers that actor-learners share: θ, θ⁻, g, the average of θ, and T. No lock, one writer for each counter.

T is the sum of the workers' own counts: a reader may be a few steps behind, but no step is lost, and a worker that is
killed holds nothing. Only this module, ``control`` and ``optim`` write to shared memory; all views are read-only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncrl.networks.flat import bind
from asyncrl.optim import LearningRate, Optimizer
from asyncrl.runtime.protocols import Vector
from asyncrl.runtime.shared_memory import ROW, read_only, share
from asyncrl.schedules import crossed

STEPS, UPDATES = range(2)  # columns of a worker's row of counters
AVERAGE_EVERY = 10  # a worker adds θ to the average after this many of its updates, since that reads all of θ


@dataclass(frozen=True)
class SharedParameters:
    """A ParameterStore in shared memory: flat float32 vectors of P parameters, and int64 counters."""

    _theta: Tensor  # [P]
    _target: Tensor  # [P]; [0] without θ⁻
    _average: Tensor  # [P], a running average of θ; [0] without one
    _optimizer_state: Tensor  # [1, slots, P] of one state for all, or [W, slots, P]
    _counters: Tensor  # [W, 8]
    optimizer: Optimizer
    learning_rate: LearningRate
    target_period: int | None  # I_target, steps; None without θ⁻
    averaging: int  # time constant of the average, in updates of all workers; 0: there is no average

    def pull(self, local: Tensor) -> None:
        """See ParameterStore."""
        local.copy_(self._theta)

    def bind(self, net: nn.Module) -> None:
        """See ParameterStore."""
        bind(net, self._theta)

    def bind_target(self, net: nn.Module) -> None:
        """See ParameterStore."""
        bind(net, self._target)

    @property
    def T(self) -> int:
        """See ParameterStore."""
        return int(self._counts[:, STEPS].sum())

    @property
    def updates(self) -> int:
        """See ParameterStore."""
        return int(self._counts[:, UPDATES].sum())

    def advance(self, worker: int, steps: int) -> tuple[int, int]:
        """See ParameterStore."""
        before = self.T
        self._counts[worker, STEPS] += steps
        return before, self.T  # T is read again, so that at least one worker sees it cross a multiple of I_target

    def apply(self, worker: int, grad: Tensor, T: int) -> None:
        """See ParameterStore."""
        self._counts[worker, UPDATES] += 1
        is_shared = self.optimizer.shared
        seen = self.updates if is_shared else int(self._counts[worker, UPDATES])
        state = self._optimizer_state[0 if is_shared else worker]
        self.optimizer.apply(self._theta, grad, state, self.learning_rate(T), seen)
        if self.averaging and self._counts[worker, UPDATES] % AVERAGE_EVERY == 0:
            # Until ``averaging`` updates were applied all are weighted alike, so that the initial weights do not count.
            averaged = int((self._counts[:, UPDATES] // AVERAGE_EVERY).sum())  # how many θ the average contains
            self._average.lerp_(self._theta, min(1.0, max(AVERAGE_EVERY / self.averaging, 1 / averaged)))

    def sync_target(self, before: int, after: int) -> None:
        """See ParameterStore."""
        if self.target_period is not None and crossed(before, after, self.target_period):
            self._target.copy_(self._theta)

    @property
    def _counts(self) -> NDArray[np.int64]:
        return self._counters.numpy()  # numpy is faster with single numbers

    # What follows is for the parent process: allocation, checkpoints, evaluations.

    @classmethod
    def allocate(
        cls,
        theta: Tensor,
        workers: int,
        optimizer: Optimizer,
        learning_rate: LearningRate,
        target_period: int | None = None,
        averaging: int = 0,
    ) -> "SharedParameters":
        """Put ``[P]`` initial weights into shared memory, θ⁻ and the average equal to θ, everything else 0."""
        states = 1 if optimizer.shared else workers
        return cls(
            share(theta.clone()),
            share(theta[: len(theta) if target_period is not None else 0].clone()),
            share(theta[: len(theta) if averaging else 0].clone()),
            share(torch.zeros(states, optimizer.slots, len(theta))),
            share(torch.zeros(workers, ROW, dtype=torch.int64)),
            optimizer,
            learning_rate,
            target_period,
            averaging,
        )

    @staticmethod
    def size(parameters: int, workers: int, optimizer: Optimizer, has_target: bool, has_average: bool) -> int:
        """Return how many bytes ``allocate`` will take."""
        vectors = 1 + has_target + has_average + (1 if optimizer.shared else workers) * optimizer.slots
        return 4 * vectors * parameters + 8 * ROW * workers

    @property
    def workers(self) -> int:
        """Return W."""
        return len(self._counters)

    def steps(self, worker: int) -> int:
        """Return how many steps a worker has counted."""
        return int(self._counts[worker, STEPS])

    @property
    def theta(self) -> Vector:
        """Return ``[P]`` θ, read-only."""
        return read_only(self._theta.numpy())

    def part(self, cut: slice) -> "SharedParameters":
        """Return a part of all vectors, with the same counters; it writes to these."""
        names = "_theta", "_target", "_average", "_optimizer_state"
        return replace(self, **{name: getattr(self, name)[..., cut] for name in names})

    @property
    def evaluation_weights(self) -> Vector:
        """Return the ``[P]`` weights that evaluations use, read-only: the average of θ if there is one, else θ."""
        return read_only((self._average if self.averaging else self._theta).numpy())

    @property
    def vectors(self) -> dict[str, Vector]:
        """Return read-only views of θ, θ⁻, the optimiser's state and the average, by name."""
        return {name: read_only(vector.numpy()) for name, vector in self._vectors().items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the vectors and of the counters, by name, for a checkpoint."""
        return {name: tensor.clone() for name, tensor in (self._vectors() | {"counters": self._counters}).items()}

    def _vectors(self) -> dict[str, Tensor]:
        vectors = {"theta": self._theta, "target": self._target, "optimizer_state": self._optimizer_state}
        return vectors | ({"average": self._average} if self.averaging else {})

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy vectors and counters from a checkpoint."""
        self.restore_vectors(tensors)
        self._counters[:, : UPDATES + 1] = tensors["counters"][:, : UPDATES + 1]

    def restore_vectors(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the vectors from a checkpoint, and leave all counters as they are."""
        for name, vector in self._vectors().items():
            vector.copy_(tensors[name])

    def nonfinite(self) -> list[str]:
        """Return which of the vectors hold a number that is not finite."""
        return [name for name, vector in self._vectors().items() if not vector.isfinite().all()]
