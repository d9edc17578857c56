"""The interface of all environments: B environments of one kind that are stepped together."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.generic]


class Discrete(NamedTuple):
    """Actions 0 … n−1."""

    n: int

    @property
    def choices(self) -> tuple[int, ...]:
        """Return of how many actions each of the numbers of an action is one; empty where these are real."""
        return (self.n,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one action."""
        return ()

    @property
    def dtype(self) -> str:
        """Return the type of its numbers."""
        return "int64"


class MultiDiscrete(NamedTuple):
    """Several actions at once: 0 … n−1 each, with an n of its own."""

    sizes: tuple[int, ...]  # K of them

    @property
    def choices(self) -> tuple[int, ...]:
        """See Discrete."""
        return self.sizes

    @property
    def shape(self) -> tuple[int, ...]:
        """See Discrete."""
        return (len(self.sizes),)

    @property
    def dtype(self) -> str:
        """See Discrete."""
        return "int64"


class Box(NamedTuple):
    """Actions in ``R^size``; the environment clips them to its bounds."""

    size: int

    @property
    def choices(self) -> tuple[int, ...]:
        """See Discrete."""
        return ()

    @property
    def shape(self) -> tuple[int, ...]:
        """See Discrete."""
        return (self.size,)

    @property
    def dtype(self) -> str:
        """See Discrete."""
        return "float32"


Kind: TypeAlias = Discrete | MultiDiscrete | Box


class Spec(NamedTuple):
    """The spaces of an environment, and the frames that one step takes."""

    obs_shape: tuple[int, ...]  # (4, 84, 84) or (4, 42, 42) on Atari; (n,) for vectors
    obs_dtype: str  # "uint8": bytes that a network divides by 255; "bool" or "float32": numbers as they are
    actions: Kind
    frames_per_step: int  # 4 on Atari, 1 elsewhere

    def summary(self) -> str:
        """Return the spaces as a short text, as run.json keeps it: ``observations float32 [4], 2 actions``."""
        kind = self.actions
        if isinstance(kind, Discrete):
            chosen = f"{kind.n} actions"
        elif isinstance(kind, Box):
            chosen = f"actions of {kind.size} numbers"
        else:
            chosen = f"actions of {len(kind.sizes)} parts: {', '.join(map(str, kind.sizes))}"
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
        """Take ``[B]`` or ``[B, K]`` int64, or ``[B, A]`` float32 actions; the arrays are valid until the next step."""
        ...

    def close(self) -> None:
        """Free the emulators."""
        ...
