"""The two policies of the paper: softmax over actions, and a spherical Gaussian."""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Policy(Protocol):
    """A distribution over actions for each state."""

    def sample(self) -> Tensor:
        """Draw one action for each state."""
        ...

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``log π(a|s)``, with the states' shape."""
        ...

    def entropy(self) -> Tensor:
        """Return ``H(π(s))`` in nats, with the states' shape."""
        ...


class Softmax(NamedTuple):
    """Discrete actions."""

    log_pi: Tensor  # [..., n]  normalised

    def sample(self) -> Tensor:
        """Draw ``[...]`` int64."""
        # Gumbel-max with exponential noise: argmax π/e is distributed as π, and faster than torch.multinomial
        noise = torch.empty_like(self.log_pi).exponential_()
        return (self.log_pi.exp() / noise).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``[...]``."""
        return self.log_pi.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return ``[...]``."""
        return -(self.log_pi.exp() * self.log_pi).sum(-1)


class Gaussian(NamedTuple):
    """Continuous actions in ``R^A``, with one variance for all dimensions (Supplement 9)."""

    mean: Tensor  # [..., A]
    variance: Tensor  # [..., 1]

    def sample(self) -> Tensor:
        """Draw ``[..., A]``, not clipped: the environment clips actions to its bounds."""
        return self.mean + self.variance.sqrt() * torch.randn_like(self.mean)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``[...]``."""
        each = (action - self.mean) ** 2 / self.variance + self.variance.log() + math.log(2 * math.pi)  # [..., A]
        return -0.5 * each.sum(-1)

    def entropy(self) -> Tensor:
        """Return ``[...]``: ``A · ½(log 2πσ² + 1)``."""
        each = 0.5 * ((2 * math.pi * self.variance).log() + 1)  # [..., 1]
        return self.mean.shape[-1] * each.squeeze(-1)
