"""Observations that are a Dict of one image and vectors: each number of a vector becomes a plane of the image.

A convolution adds a constant plane to all its outputs, with a weight of its own, so that the networks for images can
be used as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from asyncrl.config import Channels
from asyncrl.envs.base import Array
from asyncrl.envs.encoding import NotInSpace, Observations, brief, check_size
from asyncrl.envs.images import MOST_NUMBERS, image
from asyncrl.errors import InputError

Encode = Callable[[Any], Array]


def mixed(
    space: spaces.Dict, env: str, channels: Channels, encode_vector: Callable[[Any, str], Observations]
) -> Observations:
    """Encode a Dict as an image ``[C + n, H, W]`` of float32: first the channels, then n constant planes.

    Args:
        space: its entries in the order of their names are those of the planes.
        env: its name, for messages.
        channels: the axis of the image's channels.
        encode_vector: returns the observations of an entry that is no image.

    Raises:
        InputError: there is not one image, or another entry is no vector.
    """
    pictures = [name for name, entry in space.items() if isinstance(entry, spaces.Box) and len(entry.shape) in (2, 3)]
    if len(pictures) != 1:
        raise InputError(_refusal(space, env, len(pictures)))
    seen = image(cast(spaces.Box, space[pictures[0]]), f"{pictures[0]!r} of {env}", channels)
    vectors = {name: encode_vector(entry, f"{name!r} of {env}") for name, entry in space.items() if name != pictures[0]}
    if odd := [name for name, vector in vectors.items() if len(vector.shape) != 1]:
        raise InputError(f"{odd[0]!r} of {env} has the observation space {brief(space[odd[0]])}, which is no vector.")
    depth, height, width = seen.shape
    shape = depth + sum(vector.shape[0] for vector in vectors.values()), height, width
    check_size(shape, env, MOST_NUMBERS, "each number of a vector is a plane of the image; leave out some")
    scale = np.float32(255 if seen.dtype == "uint8" else 1)

    def encode(state: Any) -> Array:
        if not isinstance(state, Mapping) or state.keys() != space.keys():
            raise NotInSpace(f"that is no dict with the keys {', '.join(map(repr, space))}")
        encoded = np.empty(shape, np.float32)
        encoded[:depth] = _entry(state, pictures[0], seen.encode)
        encoded[:depth] /= scale
        numbers = [_entry(state, name, vector.encode) for name, vector in vectors.items()]
        encoded[depth:] = np.concatenate([*numbers, np.empty(0)])[:, None, None]
        return encoded

    return Observations(shape, "float32", encode)


def _entry(state: Mapping[str, Any], name: str, encode: Encode) -> Array:
    try:
        return encode(state[name])
    except NotInSpace as error:
        raise NotInSpace(f"whose {name!r} is {error}") from None


def _refusal(space: spaces.Dict, env: str, images: int) -> str:
    text = f"{env} has the observation space {brief(space)}, which has {images or 'no'} image{'s' * (images != 1)}"
    if images:
        return f"{text}; make one of them, with gymnasium.wrappers.TransformObservation."
    return f"{text}; make a vector of it with gymnasium.wrappers.FlattenObservation."
