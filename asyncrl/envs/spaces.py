"""Conversion of Gymnasium's spaces: observations to float32 vectors or uint8 ``[C, H, W]`` images, and actions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from asyncrl.envs.base import Array, Box, Discrete
from asyncrl.envs.contract import NUMBERS
from asyncrl.errors import InputError

# a last dimension of one of these sizes is taken for the channels of an image
CHANNELS = (1, 3, 4)
# sizes that a network of this package can have: the first layer alone has 200 weights for each number of a vector
MOST_STATES, MOST_ACTIONS, MOST_NUMBERS = 2**16, 2**16, 2**20
USUAL = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8))
BYTES_ADVICE = (
    "gymnasium.wrappers.TransformObservation(env, lambda image: {code}, "
    "gymnasium.spaces.Box(0, 255, {shape}, numpy.uint8))"
)


class NotInSpace(ValueError):
    """An observation that is not of its space; the text continues the words "an observation"."""


class Observations(NamedTuple):
    """The shape and type of encoded observations, and the function that encodes one or raises NotInSpace."""

    shape: tuple[int, ...]
    dtype: str  # "uint8" or "float32"
    encode: Callable[[Any], Array]


class Actions(NamedTuple):
    """The kind of actions, and the function that converts one to the environment's space."""

    kind: Discrete | Box
    decode: Callable[[Any], Any]


def observations(space: Any, env: str) -> Observations:
    """Encode a Discrete space as one-hot, a Box of rank 1 as a vector, a uint8 Box of rank 3 as an image ``[C, H, W]``.

    Raise InputError for any other space, and for one that is too large.
    """
    if not isinstance(space, spaces.Space):
        raise InputError(f"{env} has no observation_space of gymnasium.spaces, but {_brief(space)}.")
    if isinstance(space, spaces.Discrete):
        n = int(space.n)
        if n > MOST_STATES:
            raise InputError(
                f"{env} has {n:,} states, more than the {MOST_STATES:,} that can be one-hot vectors; "
                "give the network numbers that describe a state: a Box with one dimension."
            )
        return Observations((n,), "float32", _one_hot(n, int(space.start)))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        _check_size(space.shape, env, MOST_STATES, "leave out what the agent does not need")
        return Observations(space.shape, "float32", lambda vector: _floats(vector, space.shape))
    if isinstance(space, spaces.Box) and len(space.shape) in (2, 3):
        return _image(space, env)
    raise InputError(
        f"{env} has the observation space {_brief(space)}. Supported spaces: Discrete, Box with one dimension, "
        "uint8 Box with three dimensions (images). Convert most other spaces with "
        "gymnasium.wrappers.FlattenObservation."
    )


def _image(space: spaces.Box, env: str) -> Observations:
    shape = space.shape
    has = f"{env} has the observation space {_brief(space)}"
    if len(shape) == 2:
        raise InputError(
            f"{has}. If it is a grey image, add an axis for its channel: "
            f"gymnasium.wrappers.ReshapeObservation(env, {(*shape, 1)}), with bytes from 0 to 255. "
            "If it is a table, use gymnasium.wrappers.FlattenObservation."
        )
    if space.dtype != np.uint8:
        unit = np.all(space.low >= 0) and np.all(space.high <= 1)
        code = f"{'(255 * image).round()' if unit else 'image'}.astype(numpy.uint8)"
        advice = BYTES_ADVICE.format(code=code, shape=shape)
        raise InputError(f"{has}. Images must be bytes from 0 to 255 (uint8): scale and cast them with {advice}.")
    if min(shape[:2]) > shape[2] and shape[2] not in CHANNELS:
        advice = BYTES_ADVICE.format(code="numpy.moveaxis(image, -1, 0)", shape=(shape[2], *shape[:2]))
        raise InputError(
            f"{has}. A last axis of 1, 3 or 4 is read as channels, any other shape as (channels, height, width): "
            f"here {shape[0]} channels of {shape[1]} × {shape[2]} pixels. Put the {shape[2]} channels first: {advice}."
        )
    _check_size(shape, env, MOST_NUMBERS, "make the images smaller with gymnasium.wrappers.ResizeObservation")
    if shape[2] not in CHANNELS:
        return Observations(shape, "uint8", lambda image: _bytes(image, shape))
    height, width, channels = shape
    return Observations((channels, height, width), "uint8", lambda image: np.moveaxis(_bytes(image, shape), -1, 0))


def _check_size(shape: tuple[int, ...], env: str, most: int, advice: str) -> None:
    size = int(np.prod(shape, dtype=object))
    if size < 1:
        raise InputError(f"{env} has observations of shape {shape}, which hold no number.")
    if size > most:
        raise InputError(f"{env} has observations of {size:,} numbers, more than {most:,}; {advice}.")


def _numbers(state: Any, shape: tuple[int, ...]) -> Array:
    """Return a state as an array of real numbers of a shape; raise NotInSpace where it is none."""
    # the usual case, quickly
    if type(state) is np.ndarray and state.dtype in USUAL and state.shape == shape:
        return state
    try:
        array = np.asarray(state)
    # such as a list of lists of several lengths
    except Exception:
        raise NotInSpace(f"of type {type(state).__name__} that is no array") from None
    if array.dtype.kind not in NUMBERS:
        raise NotInSpace(f"of type {type(state).__name__} and dtype {array.dtype}, which holds no real numbers")
    if array.shape != shape:
        raise NotInSpace(f"of shape {array.shape}, but its space has shape {shape}")
    return array


def _floats(state: Any, shape: tuple[int, ...]) -> Array:
    """Return a vector as float32; a number beyond float32 becomes infinite."""
    array = _numbers(state, shape)
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _bytes(state: Any, shape: tuple[int, ...]) -> Array:
    """Return an image as bytes; raise NotInSpace where it has other numbers than 0, 1 … 255."""
    image = _numbers(state, shape)
    if image.dtype == np.uint8:
        return image
    with np.errstate(invalid="ignore"):
        cast = image.astype(np.uint8)
    if (wrong := image[cast != image]).size:
        raise NotInSpace(f"of dtype {image.dtype} with the value {wrong[0]:g}, but its space has bytes: 0, 1 … 255")
    return cast


def _one_hot(n: int, start: int) -> Callable[[Any], Array]:
    def encode(state: Any) -> Array:
        number = _numbers(state, ()).item()
        # False for NaN
        if not (start <= number < start + n and number == int(number)):
            raise NotInSpace(f"{number!r}, but its space has the states {start} … {start + n - 1}")
        vector = np.zeros(n, np.float32)
        vector[int(number) - start] = 1
        return vector

    return encode


def actions(space: Any, env: str) -> Actions:
    """Shift 0 … n−1 to the start of a Discrete space; clip real numbers to the bounds of a Box of rank 1.

    Raise InputError for any other space, and for one that is too large.
    """
    if not isinstance(space, spaces.Space):
        raise InputError(f"{env} has no action_space of gymnasium.spaces, but {_brief(space)}.")
    if isinstance(space, spaces.Discrete) and space.n <= MOST_ACTIONS:
        start = int(space.start)
        return Actions(Discrete(int(space.n)), lambda action: int(action) + start)
    is_vector = isinstance(space, spaces.Box) and len(space.shape) == 1 and 0 < space.shape[0] <= MOST_ACTIONS
    if isinstance(space, spaces.Box) and is_vector and np.issubdtype(space.dtype, np.floating):
        low, high, dtype = space.low, space.high, space.dtype
        # NaN is not ordered
        if not (ordered := low <= high).all():
            i = int(np.argmin(ordered))
            raise InputError(
                f"{env} has an action space in which number {i} has the bounds {low[i]:g} and {high[i]:g}."
            )
        return Actions(Box(space.shape[0]), lambda action: np.clip(action, low, high).astype(dtype, copy=False))
    raise InputError(
        f"{env} has the action space {_brief(space)}. Supported spaces: Discrete, Box of floats with one dimension; "
        f"at most {MOST_ACTIONS:,} actions."
    )


def _brief(space: Any) -> str:
    """Return a text of one line and about 60 characters; gymnasium prints large bounds over several lines."""
    text = " ".join(repr(space).split())
    shape = getattr(space, "shape", None)
    return text if len(text) <= 60 else f"{type(space).__name__}{shape or '(…)'}"
