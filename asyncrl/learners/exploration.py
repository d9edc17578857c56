"""ε-greedy exploration with the paper's mixture of final rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Generator, Tensor

from asyncrl.schedules import linear


@dataclass(frozen=True)
class EpsilonGreedy:
    """One final ε for each environment of a worker, all annealed from 1 over global steps."""

    final: tuple[float, ...]  # B of them, or one for all
    anneal_steps: int  # 0: final from the start

    def epsilon(self, T: int) -> Tensor:
        """Return ``[B]`` (or ``[1]``)."""
        return _annealed(self.final, self.anneal_steps, T)

    def choose(self, q: Tensor, epsilon: Tensor, generator: Generator) -> Tensor:
        """Return ``[B]``: for each row of ``[B, n]`` the best action, or with probability ε any."""
        batch, n = q.shape
        explore = torch.rand(batch, generator=generator) < epsilon
        return torch.where(explore, torch.randint(n, (batch,), generator=generator), q.argmax(-1))


# T is the same in all steps of a rollout
@lru_cache(maxsize=256)
def _annealed(final: tuple[float, ...], anneal_steps: int, T: int) -> Tensor:
    return torch.tensor([linear(1.0, each, T, anneal_steps) for each in final])


def draw_final(
    count: int, final: Sequence[float], probability: Sequence[float], rng: np.random.Generator
) -> tuple[float, ...]:
    """Draw ``count`` final rates, stratified: as near to the probabilities as whole numbers allow, in random order."""
    points = (rng.random() + np.arange(count)) / count  # one in each of `count` equal strata
    chosen = np.searchsorted(np.cumsum(probability)[:-1], points, side="right")
    return tuple(float(final[i]) for i in rng.permutation(chosen))
