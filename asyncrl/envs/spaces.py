"""Conversion of Gymnasium's spaces: observations to float32 vectors or ``[C, H, W]`` images, and actions."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from asyncrl.config import Channels
from asyncrl.envs.base import Array, Box, Discrete, Kind, MultiDiscrete
from asyncrl.envs.encoding import Entry, NotInSpace, Observations, brief, check_size, finds_outside, floats, numbers
from asyncrl.envs.images import image
from asyncrl.envs.mixed import mixed
from asyncrl.errors import InputError

# sizes that a network of this package can have: the first layer alone has 200 weights for each number of a vector
MOST_STATES, MOST_ACTIONS = 2**16, 2**16
MOST_PARTS = 1_000  # of an action of MultiDiscrete


class Actions(NamedTuple):
    """The kind of actions, and the function that converts one to the environment's space."""

    kind: Kind
    decode: Callable[[Any], Any]


def observations(space: Any, env: str | Entry, channels: Channels = "auto") -> Observations:
    """Encode a Discrete space as one-hot, a Box of rank 1 as a vector, a Box of rank 3 as an image ``[C, H, W]``.

    A Dict of one image and vectors is an image, too.

    ``channels`` is the axis of an image's channels. Raise InputError for another space, and for one that is too large.
    """
    if not isinstance(space, spaces.Space):
        raise InputError(f"{env} has no observation_space of gymnasium.spaces, but {brief(space)}.")
    if isinstance(space, spaces.Discrete):
        n = int(space.n)
        if n > MOST_STATES:
            raise InputError(
                f"{env} has {n:,} states, more than the {MOST_STATES:,} that can be one-hot vectors; "
                "give the network numbers that describe a state: a Box with one dimension."
            )
        return Observations((n,), "float32", _one_hot(n, int(space.start)))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        check_size(space.shape, env, MOST_STATES, "leave out what the agent does not need")
        find = finds_outside(space.low, space.high, space.low.size)
        return Observations(space.shape, "float32", lambda vector: floats(vector, space.shape), find)
    if isinstance(space, spaces.Box) and len(space.shape) == 3:
        return image(space, env, channels)
    if isinstance(space, spaces.Box) and len(space.shape) == 2:
        raise InputError(
            f"{env} has the observation space {brief(space)}. If it is a grey image, add an axis for its channel: "
            f"gymnasium.wrappers.ReshapeObservation(env, {(*space.shape, 1)}). "
            "If it is a table, use gymnasium.wrappers.FlattenObservation."
        )
    if isinstance(space, spaces.Dict):
        return mixed(space, str(env), channels, observations)
    raise InputError(
        f"{env} has the observation space {brief(space)}. Supported spaces: Discrete, Box with one dimension, "
        "Box with three dimensions (images), Dict of one image and vectors. Convert most other spaces with "
        "gymnasium.wrappers.FlattenObservation."
    )


def _one_hot(n: int, start: int) -> Callable[[Any], Array]:
    def encode(state: Any) -> Array:
        number = numbers(state, ()).item()
        # False for NaN
        if not (start <= number < start + n and number == int(number)):
            raise NotInSpace(f"{number!r}, but its space has the states {start} … {start + n - 1}")
        vector = np.zeros(n, np.float32)
        vector[int(number) - start] = 1
        return vector

    return encode


def actions(space: Any, env: str) -> Actions:
    """Shift 0 … n−1 to the start of a Discrete space; clip real numbers to the bounds of a Box of rank 1.

    The numbers of an action of MultiDiscrete are shifted, too. Raise InputError for any other space, and for one that
    is too large.
    """
    if not isinstance(space, spaces.Space):
        raise InputError(f"{env} has no action_space of gymnasium.spaces, but {brief(space)}.")
    if isinstance(space, spaces.Discrete) and space.n <= MOST_ACTIONS:
        start = int(space.start)
        return Actions(Discrete(int(space.n)), lambda action: int(action) + start)
    if (
        isinstance(space, spaces.MultiDiscrete)
        and 0 < space.nvec.size <= MOST_PARTS
        and space.nvec.sum() <= MOST_ACTIONS
    ):
        first, kind = space.start, space.dtype
        sizes = tuple(int(n) for n in space.nvec.ravel())
        return Actions(
            MultiDiscrete(sizes), lambda action: (np.reshape(action, first.shape) + first).astype(kind, copy=False)
        )
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
        f"{env} has the action space {brief(space)}. Supported spaces: Discrete, MultiDiscrete, Box of floats with "
        f"one dimension; at most {MOST_ACTIONS:,} actions, and {MOST_PARTS:,} parts of one.{_wrapper_of(space)}"
    )


def _wrapper_of(space: Any) -> str:
    """Return a sentence with the wrapper that makes a supported action space of another one; empty if none does."""
    parts, choices = 0, 0
    if isinstance(space, spaces.MultiBinary):
        parts, choices = math.prod(space.shape), 2 * math.prod(space.shape)
        code, new = "action.astype(numpy.int8)", f"gymnasium.spaces.MultiDiscrete(numpy.full({space.shape}, 2))"
    elif isinstance(space, spaces.Box) and space.dtype.kind == "f":
        choices = math.prod(space.shape)
        code, new = f"action.reshape({space.shape})", "gymnasium.spaces.flatten_space(env.action_space)"
    elif isinstance(space, spaces.Box):
        parts, choices = space.low.size, int((space.high.astype(object) - space.low + 1).sum())
        low, high = "env.action_space.low", "env.action_space.high"
        code = f"action.astype(numpy.{space.dtype})"
        new = f"gymnasium.spaces.MultiDiscrete({high}.astype(int) - {low} + 1, start={low})"
    elif isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return ""
    else:
        return (
            " Convert it with gymnasium.wrappers.TransformAction(env, function, space): the space is a supported one, "
            "and the function makes an action of the environment of an action of the space."
        )
    if parts > MOST_PARTS or not 0 < choices <= MOST_ACTIONS:
        return ""
    return f" Convert it with gymnasium.wrappers.TransformAction(env, lambda action: {code}, {new})."
