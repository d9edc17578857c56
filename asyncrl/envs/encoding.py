"""Encoded observations: their shape and type, and the checks that spaces of vectors and of images share."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from asyncrl.envs.base import Array
from asyncrl.envs.contract import NUMBERS
from asyncrl.errors import InputError, shown
from asyncrl.text import shorten

USUAL = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8), np.dtype(np.bool_))


class NotInSpace(ValueError):
    """An observation that is not of its space; the text continues the words "an observation"."""


class Outside(NamedTuple):
    """A number of an observation that is outside the bounds of its space."""

    number: int  # its place in the encoded observation, or in that of the entry
    value: float
    low: float
    high: float
    entry: str | None = None  # of a Dict

    def __str__(self) -> str:
        of = f" of {shown(self.entry)}" if self.entry else ""
        return f"number {self.number}{of} is {self.value:g}, its bounds are {self.low:g} and {self.high:g}"


FindOutside: TypeAlias = Callable[[Array], Outside | None]


class Observations(NamedTuple):
    """The shape and type of encoded observations, and the function that encodes one or raises NotInSpace."""

    shape: tuple[int, ...]
    dtype: str  # as in Spec.obs_dtype
    encode: Callable[[Any], Array]
    # the first float of an encoded observation that is outside the bounds of its space
    find_outside: FindOutside = lambda encoded: None


class Entry(NamedTuple):
    """The entry of a Dict of observations; its text names it in a message."""

    env: str
    name: str

    def __str__(self) -> str:
        return f"{shown(self.name)} of {self.env}"


def converted(env: str | Entry, code: str, space: str) -> str:
    """Return the code of a wrapper that converts the observations of an environment, or one entry of its Dict.

    Args:
        env: the name of the environment, or the entry.
        code: the new observation, with ``{old}`` for the old one.
        space: the new space, with ``{old}`` for the old one.
    """
    if isinstance(env, str):
        function, space = f"image: {code.format(old='image')}", space.format(old="env.observation_space")
    else:
        name = shown(env.name)
        function = f"entries: {{**entries, {name}: {code.format(old=f'entries[{name}]')}}}"
        space = space.format(old=f"env.observation_space[{name}]")
        space = f"gymnasium.spaces.Dict({{**env.observation_space, {name}: {space}}})"
    return f"gymnasium.wrappers.TransformObservation(env, lambda {function}, {space})"


def names(keys: Any) -> str:
    """Return the names of entries for a message."""
    return shorten(", ".join(shown(key) for key in keys), 200)


def check_size(shape: tuple[int, ...], env: str | Entry, most: int, advice: str) -> None:
    """Raise InputError where observations hold no number, or more than ``most``."""
    size = int(np.prod(shape, dtype=object))
    if size < 1:
        raise InputError(f"{env} has observations of shape {shape}, which hold no number.")
    if size > most:
        raise InputError(f"{env} has observations of {size:,} numbers, more than {most:,}; {advice}.")


def numbers(state: Any, shape: tuple[int, ...]) -> Array:
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


def floats(state: Any, shape: tuple[int, ...]) -> Array:
    """Return a state as float32; a number beyond float32 becomes infinite."""
    array = numbers(state, shape)
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def finds_outside(low: Array, high: Array, size: int) -> FindOutside:
    """Return a function that compares the numbers of an encoded observation with bounds of one size, or of 1."""
    low, high = (np.broadcast_to(bound.astype(np.float32), (size,)) for bound in (low, high))

    def find(encoded: Array) -> Outside | None:
        values: Any = encoded.reshape(-1)
        wrong = (values < low) | (values > high)
        if not wrong.any():
            return None
        i = int(wrong.argmax())
        return Outside(i, float(values[i]), float(low[i]), float(high[i]))

    return find


def brief(space: Any) -> str:
    """Return a text of one line and about 60 characters; gymnasium prints large bounds over several lines."""
    text = " ".join(repr(space).split())
    shape = getattr(space, "shape", None)
    return text if len(text) <= 60 else f"{type(space).__name__}{shape or '(…)'}"
