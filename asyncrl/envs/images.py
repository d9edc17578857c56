"""Images of any size: which axis has the channels, and which numbers the network sees. Encoded images are [C, H, W].

The space decides about the numbers: booleans are 0 and 1, small integers and fractions stay as they are, and bytes are
divided by 255 in the network (``networks.torsos``), so that they take a byte in memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from asyncrl.config import Channels
from asyncrl.envs.base import Array
from asyncrl.envs.encoding import (
    Entry,
    NotInSpace,
    Observations,
    brief,
    check_size,
    converted,
    finds_outside,
    floats,
    numbers,
)
from asyncrl.errors import InputError

# a last axis of one of these sizes has the channels, whatever the other sizes are
USUAL_CHANNELS = (1, 3, 4)
MOST_NUMBERS = 2**20
LARGEST_LEVEL = 15  # integers up to this are levels, such as kinds of objects, and no intensities
BYTES = "gymnasium.spaces.Box(0, 255, {shape}, numpy.uint8)"


def image(space: spaces.Box, env: str | Entry, channels: Channels = "auto") -> Observations:
    """Encode images of a Box of rank 3; raise InputError where its numbers or its axes are not those of images.

    Args:
        space: its dtype may be bool, of integers, or of floats.
        env: its name, or that of the entry of a Dict, for messages.
        channels: the axis of the channels: ``first``, ``last``, or ``auto``: as the sizes of the axes tell.
    """
    shape = space.shape
    smaller = "gymnasium.wrappers.ResizeObservation" if isinstance(env, str) else "a wrapper of your own"
    check_size(shape, env, MOST_NUMBERS, f"make the images smaller with {smaller}")
    dtype, read = _numbers_of(space, env)
    # the network may have the axes in another order, and an image has the bounds of all its numbers
    bounds = np.asarray(space.low.min()), np.asarray(space.high.max())
    find = (finds_outside(*bounds, space.low.size),) if dtype == "float32" else ()
    if (channels if channels != "auto" else _axis(space, env)) == "first":
        return Observations(shape, dtype, read, *find)
    height, width, depth = shape
    return Observations((depth, height, width), dtype, lambda state: read(state).transpose(2, 0, 1), *find)


def _axis(space: spaces.Box, env: str | Entry) -> Channels:
    """Return the axis of the channels: one that differs from two equal sides, or the smallest one."""
    first, middle, last = space.shape
    if last in USUAL_CHANNELS:
        return "last"
    if (first == middle) != (middle == last):
        return "last" if first == middle else "first"
    if last < min(first, middle):
        return "last"
    if first < min(middle, last):
        return "first"
    raise InputError(
        f"{env} has the observation space {brief(space)}, whose sizes do not tell which axis has the channels; "
        "set channels to first or last, as in --set channels=last."
    )


def _numbers_of(space: spaces.Box, env: str | Entry) -> tuple[str, Callable[[Any], Array]]:
    """Return the type of encoded images, and the function that checks one and converts its numbers."""
    shape, kind = space.shape, space.dtype.kind
    low, high = space.low.min(), space.high.max()
    if kind in "biu" and low >= 0 and high <= 1:
        return "bool", lambda state: _whole(state, shape, np.bool_, "0 and 1")
    if kind in "iu" and low >= -LARGEST_LEVEL and high <= LARGEST_LEVEL:
        return "float32", lambda state: floats(state, shape)
    if kind in "iu" and low >= 0 and high <= 255:
        return "uint8", lambda state: _whole(state, shape, np.uint8, "bytes: 0, 1 … 255")
    if kind == "f" and low >= 0 and high <= 1:
        return "float32", lambda state: floats(state, shape)
    advice = converted(env, "{old}.astype(numpy.uint8)", BYTES.format(shape=shape))
    raise InputError(
        f"{env} has the observation space {brief(space)}. Images must be bytes from 0 to 255 (uint8), floats from 0 to "
        f"1, small integers, or booleans, and their space must have these bounds. Bytes in another type are cast with "
        f"{advice}."
    )


def _whole(state: Any, shape: tuple[int, ...], dtype: type[np.uint8 | np.bool_], allowed: str) -> Array:
    """Return an image as bytes or booleans; raise NotInSpace where it has other numbers."""
    array = numbers(state, shape)
    if array.dtype == dtype:
        return array
    with np.errstate(invalid="ignore"):
        cast = array.astype(dtype)
    if (wrong := array[cast != array]).size:
        raise NotInSpace(f"of dtype {array.dtype} with the value {wrong[0]:g}, but its space has {allowed}")
    return cast
