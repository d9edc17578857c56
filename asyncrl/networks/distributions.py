"""The two policies of the paper: softmax over actions, and a spherical Gaussian."""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor


class Policy(Protocol):
    """A distribution over actions for each state."""

    def sample(self, generator: Generator) -> Tensor:
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

    def sample(self, generator: Generator) -> Tensor:
        """Draw ``[...]`` int64."""
        # An exponential race, that is the Gumbel-max trick: faster than torch.multinomial.
        race = torch.empty_like(self.log_pi).exponential_(generator=generator)
        return (self.log_pi.exp() / race).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``[...]``."""
        return self.log_pi.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return ``[...]``."""
        return -(self.log_pi.exp() * self.log_pi).sum(-1)


class Gaussian(NamedTuple):
    """Actions in ``R^A``, one variance for all directions (Supplement 9)."""

    mean: Tensor  # [..., A]
    variance: Tensor  # [..., 1]

    def sample(self, generator: Generator) -> Tensor:
        """Draw ``[..., A]``; the environment clips it, the learner does not."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.variance.sqrt() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``[...]``."""
        each = (action - self.mean) ** 2 / self.variance + self.variance.log() + math.log(2 * math.pi)  # [..., A]
        return -0.5 * each.sum(-1)

    def entropy(self) -> Tensor:
        """Return ``[...]``: ``A · ½(log 2πσ² + 1)``."""
        each = 0.5 * ((2 * math.pi * self.variance).log() + 1)  # [..., 1]
        return self.mean.shape[-1] * each.squeeze(-1)
