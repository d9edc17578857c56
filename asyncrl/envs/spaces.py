"""Conversion of Gymnasium's spaces: observations to float32 vectors or uint8 ``[C, H, W]`` images, and actions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from asyncrl.envs.base import Array, Box, Discrete
from asyncrl.errors import InputError

# a last dimension of one of these sizes is taken for the channels of an image
CHANNELS = (1, 3, 4)


class Observations(NamedTuple):
    """The shape and type of encoded observations, and the function that encodes one."""

    shape: tuple[int, ...]
    dtype: str  # "uint8" or "float32"
    encode: Callable[[Any], Array]


class Actions(NamedTuple):
    """The kind of actions, and the function that converts one to the environment's space."""

    kind: Discrete | Box
    decode: Callable[[Any], Any]


def observations(space: spaces.Space[Any], env: str) -> Observations:
    """Encode a Discrete space as one-hot, a Box of rank 1 as a vector, a uint8 Box of rank 3 as an image ``[C, H, W]``.

    Raise InputError for any other space.
    """
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
        f"{env} has the observation space {_brief(space)}. Supported spaces: Discrete, Box with one dimension, "
        "uint8 Box with three dimensions (images). Convert most other spaces with "
        "gymnasium.wrappers.FlattenObservation."
    )


def actions(space: spaces.Space[Any], env: str) -> Actions:
    """Shift 0 … n−1 to the start of a Discrete space; clip real numbers to the bounds of a Box of rank 1.

    Raise InputError for any other space.
    """
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Actions(Discrete(int(space.n)), lambda action: int(action) + start)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating):
        low, high, dtype = space.low, space.high, space.dtype
        return Actions(Box(space.shape[0]), lambda action: np.clip(action, low, high).astype(dtype, copy=False))
    raise InputError(
        f"{env} has the action space {_brief(space)}. Supported spaces: Discrete, Box of floats with one dimension."
    )


def _brief(space: spaces.Space[Any]) -> str:
    """Return a text of one line and about 60 characters; gymnasium prints large bounds over several lines."""
    text = " ".join(repr(space).split())
    return text if len(text) <= 60 else f"{type(space).__name__}{space.shape or '(…)'}"
