"""The one shape that every environment takes here: B of them, stepped together."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.generic]


class Discrete(NamedTuple):
    """Actions 0 … n−1."""

    n: int


class Box(NamedTuple):
    """Actions in ``R^size``; the environment clips them to its own bounds."""

    size: int


class Spec(NamedTuple):
    """What networks and units must know of an environment."""

    obs_shape: tuple[int, ...]  # (4, 84, 84) on Atari; (n,) for vectors
    obs_dtype: str  # "uint8" or "float32"
    actions: Discrete | Box
    frames_per_step: int  # 4 on Atari, 1 elsewhere


class Game(NamedTuple):
    """A game that has just ended, as a person would score it."""

    env: int  # which of the B
    score: float  # unclipped sum of rewards
    length: int  # steps
    completed: bool  # False where a time limit cut it short


class Step(NamedTuple):
    """The outcome of one step of all B environments."""

    obs: Array  # [B, *O]  to act on next: the first of a new episode where one ended
    reward: NDArray[np.float32]  # [B]  for learning (clipped on Atari)
    terminated: NDArray[np.bool_]  # [B]  terminal for the learner; on Atari in training also the loss of a life
    truncated: NDArray[np.bool_]  # [B]  cut by a limit: to be bootstrapped
    successor: Array  # [B, *O]  the states really reached: obs, but the last of the old episode where truncated
    games: tuple[Game, ...]  # finished in this step


class Environments(Protocol):
    """B environments of one kind. A game that ends is reset in the same step: no step is ever wasted on a reset."""

    spec: Spec
    num_envs: int

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start games from their seeds and return ``[B, *O]``; where a seed is None the game under way goes on."""
        ...

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 or ``[B, A]`` float32 actions. The arrays returned are valid until the next step."""
        ...

    def close(self) -> None:
        """Free the emulators."""
        ...
