"""The paper's three optimisers and Adam, each one pass over a flat vector, applied to shared memory without a lock.

Supplement 7: ``g ← αg + (1−α)Δθ²; θ ← θ − ηΔθ/√(g+ε)``. ε stands inside the root; ``torch.optim`` puts it outside.
"""

import ctypes
import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from asyncrl.kernels import native


class Optimizer(Protocol):
    """How an accumulated gradient changes θ. Holds hyper-parameters only; its state is handed in."""

    slots: ClassVar[int]  # vectors of θ's size that it keeps

    @property
    def shared(self) -> bool:
        """Whether all workers update one state, or each its own."""
        ...

    def apply(self, theta: Tensor, grad: Tensor, state: Tensor, lr: float, updates: int) -> None:
        """Update θ and the state in place.

        Args:
            theta: ``[P]``, shared.
            grad: ``[P]``, dθ of this worker, already clipped.
            state: ``[slots, P]``.
            lr: η, already annealed.
            updates: how many updates this state has seen, this one included.
        """
        ...


@dataclass(frozen=True)
class RMSProp:
    """Non-centred RMSProp, with one g for all (the paper's choice) or one for each worker."""

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


def clip_(grad: Tensor, limit: float | None) -> float:
    """Scale ``[P]`` in place to a norm of at most ``limit``, the whole vector at once; return the norm it had.

    A norm that is not finite is returned and nothing is scaled: such a gradient must not be applied.
    """
    norm = math.sqrt(grad.dot(grad))
    if limit is not None and limit < norm < math.inf:
        grad.mul_(limit / norm)
    return norm
