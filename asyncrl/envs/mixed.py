"""Observations that are a Dict of one image and vectors: each number of a vector becomes a plane of the image.

A convolution adds a constant plane to all its outputs, with a weight of its own, so that the networks for images can
be used as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from asyncrl.config import Channels
from asyncrl.envs.base import Array
from asyncrl.envs.encoding import Entry, NotInSpace, Observations, Outside, brief, check_size, converted, names
from asyncrl.envs.images import MOST_NUMBERS, image
from asyncrl.errors import InputError, shown

Encode = Callable[[Any], Array]


def mixed(
    space: spaces.Dict, env: str, channels: Channels, encode_vector: Callable[[Any, Entry], Observations]
) -> Observations:
    """Encode a Dict as an image ``[C + n, H, W]`` of float32: first the channels, then n constant planes.

    Args:
        space: its entries in the order of their names are those of the planes.
        env: its name, for messages.
        channels: the axis of the image's channels.
        encode_vector: returns the observations of an entry that is Discrete, or a Box with one dimension.

    Raises:
        InputError: there is not one image, or another entry is no vector.
    """
    picture = _only_image(space, env)
    seen = image(cast(spaces.Box, space[picture]), Entry(env, picture), channels)
    vectors = {name: encode_vector(entry, Entry(env, name)) for name, entry in space.items() if name != picture}
    depth, height, width = seen.shape
    shape = depth + sum(vector.shape[0] for vector in vectors.values()), height, width
    check_size(shape, env, MOST_NUMBERS, "each number of a vector is a plane of the image; leave out some")
    scale = np.float32(255 if seen.dtype == "uint8" else 1)

    def encode(state: Any) -> Array:
        if not isinstance(state, Mapping):
            raise NotInSpace(f"of type {type(state).__name__}, but its space is a Dict with the keys {names(space)}")
        if state.keys() != space.keys():
            raise NotInSpace(f"with the keys {names(state)}, but its space has the keys {names(space)}")
        encoded = np.empty(shape, np.float32)
        encoded[:depth] = _entry(state, picture, seen.encode)
        encoded[:depth] /= scale
        values = [_entry(state, name, vector.encode) for name, vector in vectors.items()]
        encoded[depth:] = np.concatenate([*values, np.empty(0)])[:, None, None]
        return encoded

    def find_outside(encoded: Array) -> Outside | None:
        parts = [(picture, seen, encoded[:depth])]
        first = depth
        for name, vector in vectors.items():
            parts.append((name, vector, encoded[first : first + vector.shape[0], 0, 0]))
            first += vector.shape[0]
        found = (outside._replace(entry=name) for name, part, values in parts if (outside := part.find_outside(values)))
        return next(found, None)

    return Observations(shape, "float32", encode, find_outside)


def _entry(state: Mapping[str, Any], name: str, encode: Encode) -> Array:
    try:
        return encode(state[name])
    except NotInSpace as error:
        raise NotInSpace(f"whose {shown(name)} is {error}") from None


def _only_image(space: spaces.Dict, env: str) -> str:
    """Return the name of the image; raise InputError, with a wrapper that helps, where another entry is no vector."""
    boxes = {name: len(entry.shape) for name, entry in space.items() if isinstance(entry, spaces.Box)}
    images = [name for name in space if boxes.get(name) == 3]
    vectors = [name for name in space if boxes.get(name) == 1 or isinstance(space[name], spaces.Discrete)]
    if not images:
        text = f"{env} has the observation space {brief(space)}, which has no image; make a vector of it with "
        text += "gymnasium.wrappers.FlattenObservation(env)."
        if tables := [name for name in space if boxes.get(name) == 2]:
            text += f" If {shown(tables[0])} is a grey image, add an axis for its channel: "
            text += f"{_with_channel(Entry(env, tables[0]))}."
        raise InputError(text)
    if len(images) > 1:
        raise InputError(
            f"{env} has an observation space with {len(images)} images: {names(images)}; keep one of them: "
            f"{_keeping([images[0], *vectors])}."
        )
    if others := [name for name in space if name not in (*images, *vectors)]:
        text = f"{Entry(env, others[0])} has the observation space {brief(space[others[0]])}, which is no vector; "
        text += f"make one of it: {_flat(shown(others[0]))}, or " if space[others[0]].is_np_flattenable else ""
        raise InputError(f"{text}leave it out: {_keeping([*images, *vectors])}.")
    return images[0]


def _with_channel(entry: Entry) -> str:
    new = "gymnasium.spaces.Box({old}.low[..., None], {old}.high[..., None], dtype={old}.dtype)"
    return converted(entry, "{old}[..., None]", new)


def _keeping(entries: Sequence[str]) -> str:
    return f"gymnasium.wrappers.FilterObservation(env, [{names(entries)}])"


def _flat(name: str) -> str:
    # env may later be the wrapper itself
    old = f"env.observation_space[{name}]"
    function = f"entries, old={old}: {{**entries, {name}: gymnasium.spaces.flatten(old, entries[{name}])}}"
    space = f"gymnasium.spaces.Dict({{**env.observation_space, {name}: gymnasium.spaces.flatten_space({old})}})"
    return f"gymnasium.wrappers.TransformObservation(env, lambda {function}, {space})"
