"""The memory that actor-learners share: θ, θ⁻, the average of θ, the optimiser's state, counters. It has no lock.

Each counter has one writer. T is the sum of the workers' own counts, so a reader may be a few steps behind but no step
is ever lost, and a worker that is killed leaves nothing held.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncrl.optim import Optimizer
from asyncrl.schedules import crossed

N = TypeVar("N", bound=nn.Module)

STEPS, UPDATES, PARKED, TURN, CORE, BEATS = range(6)  # columns of a worker's row
ROW = 8  # int64 in a row: one cache line, so that no two workers write to the same
STOP, PARK = range(2)  # what the parent asks of all
AVERAGE_EVERY = 10  # updates between two steps of the running average of θ, each of which is a pass over θ


@dataclass(frozen=True)
class Shared:
    """Flat float32 vectors of P parameters, and int64 counters, all in shared memory."""

    theta: Tensor  # [P]
    target: Tensor  # [P]; [0] without θ⁻
    average: Tensor  # [P], a running average of θ; [0] without one
    optimizer_state: Tensor  # [1, slots, P] of one state for all, or [W, slots, P]
    counters: Tensor  # [W, 8] int64
    orders: Tensor  # [2] int64; the parent writes

    @classmethod
    def allocate(
        cls, theta: Tensor, workers: int, optimizer: Optimizer, has_target: bool, has_average: bool = False
    ) -> "Shared":
        """Put ``[P]`` initial weights into shared memory, θ⁻ and the average equal to θ, everything else 0."""
        states = 1 if optimizer.shared else workers
        return cls(
            theta=_share(theta.clone()),
            target=_share(theta[: len(theta) if has_target else 0].clone()),
            average=_share(theta[: len(theta) if has_average else 0].clone()),
            optimizer_state=_share(torch.zeros(states, optimizer.slots, len(theta))),
            counters=_share(torch.zeros(workers, ROW, dtype=torch.int64)),
            orders=_share(torch.zeros(2, dtype=torch.int64)),
        )

    @staticmethod
    def size(parameters: int, workers: int, optimizer: Optimizer, has_target: bool, has_average: bool = False) -> int:
        """Return how many bytes ``allocate`` will take."""
        vectors = 1 + has_target + has_average + (1 if optimizer.shared else workers) * optimizer.slots
        return 4 * vectors * parameters + 8 * (ROW * workers + 2)

    def vectors(self) -> dict[str, Tensor]:
        """Return what learning changes, by name."""
        vectors = {"theta": self.theta, "target": self.target, "optimizer_state": self.optimizer_state}
        return vectors | ({"average": self.average} if self.has_average else {})

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name."""
        return self.vectors() | {"counters": self.counters}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what a checkpoint held."""
        self.restore_vectors(tensors)
        self.counters.copy_(tensors["counters"])
        self.counters[:, PARKED:] = 0

    def restore_vectors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what a checkpoint knew, with all counters as they are."""
        for name, vector in self.vectors().items():
            vector.copy_(tensors[name])

    def poisoned(self) -> list[str]:
        """Return which of the vectors hold a number that is not finite."""
        return [name for name, vector in self.vectors().items() if not vector.isfinite().all()]

    @property
    def has_average(self) -> bool:
        """Say whether there is a running average of θ."""
        return len(self.average) > 0

    @property
    def evaluated(self) -> Tensor:
        """Return the ``[P]`` weights that evaluations play with: the average of θ where there is one."""
        return self.average if self.has_average else self.theta

    @property
    def workers(self) -> int:
        """Return W."""
        return len(self.counters)

    @property
    def _counts(self) -> NDArray[np.int64]:
        """Return the counters as numpy sees them, which is quicker with single numbers."""
        return self.counters.numpy()

    @property
    def T(self) -> int:
        """Return the global step counter."""
        return int(self._counts[:, STEPS].sum())

    @property
    def updates(self) -> int:
        """Return how many updates have been applied to θ."""
        return int(self._counts[:, UPDATES].sum())

    def advance(self, worker: int, steps: int) -> tuple[int, int]:
        """Count a worker's steps; return T before and after."""
        before = self.T
        self._counts[worker, STEPS] += steps
        return before, self.T  # read again: others may have counted too, and a multiple in between must be seen by one

    def apply(self, worker: int, optimizer: Optimizer, grad: Tensor, lr: float) -> None:
        """Update θ with a worker's clipped ``[P]`` gradient, without a lock."""
        self._counts[worker, UPDATES] += 1
        seen = self.updates if optimizer.shared else int(self._counts[worker, UPDATES])
        state = self.optimizer_state[0 if optimizer.shared else worker]
        optimizer.apply(self.theta, grad, state, lr, seen)

    def update_average(self, worker: int, horizon: int) -> None:
        """Move the average towards θ, after every tenth update of a worker's own.

        Args:
            worker: which has just applied an update.
            horizon: updates of all workers over which the average forgets θ to 1/e. Before so many were applied all
                are weighted alike, so that the initial weights do not count.
        """
        if self._counts[worker, UPDATES] % AVERAGE_EVERY == 0:
            self.average.lerp_(self.theta, min(1.0, AVERAGE_EVERY / min(horizon, self.updates)))

    def sync_target(self, before: int, after: int, period: int | None) -> None:
        """θ⁻ ← θ where T has crossed a multiple of I_target."""
        if period is not None and crossed(before, after, period):
            self.target.copy_(self.theta)

    def order(self, what: int, number: int) -> None:
        """Ask all workers to STOP or to PARK, at their next rollout; each pause has a number of its own, 0 is none."""
        self.orders[what] = number

    def ordered(self, what: int) -> int:
        """Return the number that the parent asks for it by, or 0."""
        return int(self.orders.numpy()[what])

    def is_ordered(self, what: int) -> bool:
        """Say whether the parent asks for it."""
        return self.ordered(what) != 0

    def leave(self, worker: int) -> None:
        """Say that nobody is there: neither parked nor in its turn."""
        self.counters[worker, PARKED] = 0
        self.counters[worker, TURN] = 0

    def beat(self, worker: int, number: int) -> None:
        """Say by a new number that a worker lives, though it makes no steps; 0 is said at the end."""
        self._counts[worker, BEATS] = number

    def progress(self, worker: int) -> int:
        """Return a number that grows as long as a worker gets on."""
        return int(self._counts[worker, STEPS] + self._counts[worker, BEATS])

    def set_parked(self, worker: int, yes: bool) -> None:
        """Say that a worker stands still between two rollouts, its state sent."""
        self.counters[worker, PARKED] = int(yes)


def _share(tensor: Tensor) -> Tensor:
    return tensor.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


def flatten(net: nn.Module) -> Tensor:
    """Return a copy of all parameters as ``[P]`` float32."""
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def bind(net: N, flat: Tensor) -> N:
    """Make a network's parameters views of ``[P]``, so that whoever writes there changes the network; return it."""
    _each(net, flat, lambda parameter, view: setattr(parameter, "data", view))
    return net


def bind_gradients(net: nn.Module) -> Tensor:
    """Make a network's gradients views of one ``[P]`` vector, and return that: autograd adds into it."""
    grad = torch.zeros(sum(p.numel() for p in net.parameters()))
    _each(net, grad, lambda parameter, view: setattr(parameter, "grad", view))
    return grad


def _each(net: nn.Module, flat: Tensor, do: Callable[[nn.Parameter, Tensor], None]) -> None:
    start = 0
    for parameter in net.parameters():
        do(parameter, flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    if start != len(flat):
        raise ValueError(f"the network has {start} parameters, the vector {len(flat)}")
