"""The interface of all environments: B environments of one kind that are stepped together."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.generic]


class Discrete(NamedTuple):
    """Actions 0 … n−1."""

    n: int


class Box(NamedTuple):
    """Actions in ``R^size``; the environment clips them to its bounds."""

    size: int


class Spec(NamedTuple):
    """The spaces of an environment, and the frames that one step takes."""

    obs_shape: tuple[int, ...]  # (4, 84, 84) on Atari; (n,) for vectors
    obs_dtype: str  # "uint8": bytes that a network divides by 255; "bool" or "float32": numbers as they are
    actions: Discrete | Box
    frames_per_step: int  # 4 on Atari, 1 elsewhere

    def summary(self) -> str:
        """Return the spaces as a short text, as run.json keeps it: ``observations float32 [4], 2 actions``."""
        kind = self.actions
        chosen = f"actions of {kind.size} numbers" if isinstance(kind, Box) else f"{kind.n} actions"
        return f"observations {self.obs_dtype} {list(self.obs_shape)}, {chosen}"


class Episode(NamedTuple):
    """A finished episode, with its unclipped score."""

    env: int  # 0 … B−1
    score: float  # unclipped sum of rewards
    length: int  # steps
    completed: bool  # False if a time limit truncated it


class Step(NamedTuple):
    """The outcome of one step of all B environments."""

    # [B, *O]  input of the next action: the first observation of a new episode where one ended
    obs: Array
    # [B]  for learning (clipped on Atari)
    reward: NDArray[np.float32]
    # [B]  terminal for the learner; on Atari in training also the loss of a life
    terminated: NDArray[np.bool_]
    # [B]  ended by a limit: the learner bootstraps
    truncated: NDArray[np.bool_]
    # [B, *O]  the states that the actions led to: obs, but the last state of the old episode where truncated
    successor: Array
    # the episodes that ended in this step
    episodes: tuple[Episode, ...]


class Environments(Protocol):
    """B environments of one kind. An episode that ends is reset in the same step: no step is spent on a reset."""

    spec: Spec
    num_envs: int

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start episodes from their seeds and return ``[B, *O]``; where a seed is None, the episode continues."""
        ...

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 or ``[B, A]`` float32 actions. The returned arrays are valid until the next step."""
        ...

    def close(self) -> None:
        """Free the emulators."""
        ...
