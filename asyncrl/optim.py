"""The paper's three optimisers and Adam, on flat vectors in shared memory, without a lock.

Supplement 7: ``g ← αg + (1−α)Δθ²; θ ← θ − ηΔθ/√(g+ε)``. ε is inside the root; in ``torch.optim`` it is outside.
"""

import ctypes
import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from asyncrl.kernels import native
from asyncrl.schedules import linear


class Optimizer(Protocol):
    """Applies an accumulated gradient to θ. It holds hyper-parameters only; the caller passes its state."""

    slots: ClassVar[int]  # vectors of θ's size in its state

    @property
    def shared(self) -> bool:
        """True if all workers update one state, False if each worker has its own."""
        ...

    def apply(self, theta: Tensor, grad: Tensor, state: Tensor, lr: float, updates: int) -> None:
        """Update θ and the state in place.

        Args:
            theta: ``[P]``, shared.
            grad: ``[P]``, dθ of this worker, already clipped.
            state: ``[slots, P]``.
            lr: η, already annealed.
            updates: the number of updates of this state, including this one.
        """
        ...


@dataclass(frozen=True)
class RMSProp:
    """Non-centred RMSProp, with one g for all workers (the paper's choice) or one for each worker."""

    slots: ClassVar[int] = 1
    shared: bool
    alpha: float
    eps: float

    def apply(self, theta: Tensor, grad: Tensor, state: Tensor, lr: float, updates: int) -> None:
        """See Optimizer; the number of updates is not used."""
        g = state[0]
        if theta.dtype == torch.float32 and (library := native.load()):
            vectors = (native.pointer(vector) for vector in (theta, g, grad))
            rates = map(ctypes.c_float, (lr, self.alpha, 1 - self.alpha, self.eps))
            library.rmsprop(ctypes.c_size_t(len(theta)), *vectors, *rates)
            return
        g.mul_(self.alpha).addcmul_(grad, grad, value=1 - self.alpha)
        theta.addcdiv_(grad, (g + self.eps).sqrt_(), value=-lr)


@dataclass(frozen=True)
class Momentum:
    """Momentum SGD with one m for each worker: ``m ← αm + (1−α)Δθ; θ ← θ − ηm``."""

    slots: ClassVar[int] = 1
    shared: ClassVar[bool] = False
    alpha: float

    def apply(self, theta: Tensor, grad: Tensor, state: Tensor, lr: float, updates: int) -> None:
        """See Optimizer; the number of updates is not used."""
        m = state[0]
        m.mul_(self.alpha).add_(grad, alpha=1 - self.alpha)
        theta.add_(m, alpha=-lr)


@dataclass(frozen=True)
class Adam:
    """Adam with shared moments (Kingma and Ba, 2015); not in the paper."""

    slots: ClassVar[int] = 2
    shared: ClassVar[bool] = True
    beta1: ClassVar[float] = 0.9
    beta2: ClassVar[float] = 0.999
    eps: float

    def apply(self, theta: Tensor, grad: Tensor, state: Tensor, lr: float, updates: int) -> None:
        """See Optimizer; the moments' bias is corrected by the number of updates."""
        m, v = state[0], state[1]
        m.mul_(self.beta1).add_(grad, alpha=1 - self.beta1)
        v.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        unbias = math.sqrt(1 - self.beta2**updates)
        theta.addcdiv_(m, v.sqrt().div_(unbias).add_(self.eps), value=-lr / (1 - self.beta1**updates))


@dataclass(frozen=True)
class LearningRate:
    """η by T: ``initial``, annealed linearly to 0 at ``anneal_steps``; None: it stays as it is."""

    initial: float
    anneal_steps: int | None = None

    def __call__(self, T: int) -> float:
        """Return η at T steps."""
        return self.initial if self.anneal_steps is None else linear(self.initial, 0.0, T, self.anneal_steps)


def clip_(grad: Tensor, limit: float | None) -> float:
    """Scale the whole vector ``[P]`` in place to a norm of at most ``limit``; return the norm before scaling.

    If the norm is not finite, the vector is not scaled; the caller must not apply it. Without a limit that includes a
    norm beyond float32: the optimiser's squares would not be finite.
    """
    norm = math.sqrt(grad.dot(grad))
    if limit is None or norm <= limit:
        return norm
    if math.isfinite(norm):
        grad.mul_(limit / norm)
        return norm
    exact = grad.double()
    norm = float(exact.norm())
    if math.isfinite(norm):
        # float32 would round limit / norm to 0.
        grad.copy_(exact.mul_(limit / norm))
    return norm
