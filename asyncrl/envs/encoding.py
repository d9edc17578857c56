"""Encoded observations: their shape and type, and the checks that spaces of vectors and of images share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from asyncrl.envs.base import Array
from asyncrl.envs.contract import NUMBERS
from asyncrl.errors import InputError

USUAL = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8), np.dtype(np.bool_))


class NotInSpace(ValueError):
    """An observation that is not of its space; the text continues the words "an observation"."""


class Observations(NamedTuple):
    """The shape and type of encoded observations, and the function that encodes one or raises NotInSpace."""

    shape: tuple[int, ...]
    dtype: str  # as in Spec.obs_dtype
    encode: Callable[[Any], Array]


def check_size(shape: tuple[int, ...], env: str, most: int, advice: str) -> None:
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
    """Return a vector as float32; a number beyond float32 becomes infinite."""
    array = numbers(state, shape)
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def brief(space: Any) -> str:
    """Return a text of one line and about 60 characters; gymnasium prints large bounds over several lines."""
    text = " ".join(repr(space).split())
    shape = getattr(space, "shape", None)
    return text if len(text) <= 60 else f"{type(space).__name__}{shape or '(…)'}"
