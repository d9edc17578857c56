"""Gymnasium's spaces in the two forms that networks take: float32 vectors and uint8 ``[C, H, W]`` images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from asyncrl.envs.base import Array, Box, Discrete
from asyncrl.errors import InputError

CHANNELS = (1, 3, 4)  # of an image whose channels come last


class Observations(NamedTuple):
    """How to read an environment's observations."""

    shape: tuple[int, ...]
    dtype: str  # "uint8" or "float32"
    encode: Callable[[Any], Array]


class Actions(NamedTuple):
    """How to give an environment our actions."""

    kind: Discrete | Box
    decode: Callable[[Any], Any]


def observations(space: spaces.Space[Any], env: str) -> Observations:
    """Read a Discrete space as one-hot, a Box of rank 1 as a vector, a uint8 Box of rank 3 as an image."""
    if isinstance(space, spaces.Discrete):
        one_hot, start = np.eye(int(space.n), dtype=np.float32), int(space.start)
        return Observations((int(space.n),), "float32", lambda state: one_hot[int(state) - start])
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return Observations(space.shape, "float32", lambda vector: np.asarray(vector, np.float32))
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        height, width, channels = space.shape
        if channels in CHANNELS:
            return Observations((channels, height, width), "uint8", lambda image: np.moveaxis(image, -1, 0))
        return Observations(space.shape, "uint8", np.asarray)
    raise InputError(
        f"{env} has observations {_brief(space)}; supported are Discrete, Box of one dimension, "
        "and uint8 images of three. gymnasium.wrappers.FlattenObservation turns most others into one dimension."
    )


def actions(space: spaces.Space[Any], env: str) -> Actions:
    """Give a Discrete space 0 … n−1, shifted to its start, and a Box of rank 1 real numbers, clipped to its bounds."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Actions(Discrete(int(space.n)), lambda action: int(action) + start)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        low, high, dtype = space.low, space.high, space.dtype
        return Actions(Box(space.shape[0]), lambda action: np.clip(action, low, high).astype(dtype, copy=False))
    raise InputError(
        f"{env} takes actions {_brief(space)}; supported are Discrete, and Box of one dimension and real numbers."
    )


def _brief(space: spaces.Space[Any]) -> str:
    """Return one line: large bounds are printed over several."""
    text = " ".join(repr(space).split())
    return text if len(text) <= 60 else f"{type(space).__name__}{space.shape or '(…)'}"
