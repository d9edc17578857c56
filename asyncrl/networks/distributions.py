"""The two policies of the paper, softmax over actions and a spherical Gaussian, and several softmaxes at once."""

import math
from collections.abc import Sequence
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


class Softmaxes(NamedTuple):
    """K discrete actions at once, independent of each other in a state."""

    log_pi: Tensor  # [..., Σn]  those of each action one after the other, normalised
    sizes: tuple[int, ...]  # K of them

    def sample(self, generator: Generator) -> Tensor:
        """Draw ``[..., K]`` int64."""
        race = torch.empty_like(self.log_pi).exponential_(generator=generator)
        return best_of(self.log_pi.exp() / race, self.sizes)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return ``[...]``, the sum over the actions."""
        first = torch.tensor((0, *self.sizes[:-1])).cumsum(0)  # [K]
        return self.log_pi.gather(-1, action + first).sum(-1)

    def entropy(self) -> Tensor:
        """Return ``[...]``, the sum over the actions."""
        return -(self.log_pi.exp() * self.log_pi).sum(-1)


def best_of(scores: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return ``[..., K]``: of each action the choice with the greatest of ``[..., Σn]`` scores."""
    return torch.stack([each.argmax(-1) for each in torch.split(scores, list(sizes), -1)], -1)


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
