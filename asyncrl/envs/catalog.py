"""The environments that this machine can train, with the presets for each; nothing here imports torch."""

import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from fnmatch import fnmatch
from importlib.util import find_spec
from io import StringIO
from typing import NamedTuple

import gymnasium

from asyncrl import presets
from asyncrl.envs.base import Spec
from asyncrl.envs.gym import build
from asyncrl.envs.registry import MINATAR_TITLES, Registered, kind, registered_games, roms
from asyncrl.envs.spaces import actions, observations

KINDS = ("atari", "minatar", "vector", "continuous", "image")  # in the order in which they are listed


class Listed(NamedTuple):
    """An environment."""

    name: str  # as ``--env`` takes it
    kind: str  # the block of its presets
    presets: tuple[str, ...]
    is_installed: bool = True


def environments(pattern: str = "") -> list[Listed]:
    """Return the environments whose names match: Atari, MinAtar, and those of Gymnasium that can be made here.

    A pattern is a part of a name, or has ``*`` and ``?``; upper and lower case are equal.
    """
    pattern = pattern.lower()
    if not any(character in pattern for character in "*?["):
        pattern = f"*{pattern}*"
    found = [name for name in (*roms(), *minatar_names(), *gymnasium_names()) if fnmatch(name.lower(), pattern)]
    listed = [each for name in found if (each := _listed(name))]
    return sorted(listed, key=lambda each: (KINDS.index(each.kind), each.name))


def minatar_names() -> Iterator[str]:
    """Yield the names of the games of MinAtar."""
    for title in MINATAR_TITLES:
        yield f"minatar/{'space_invaders' if title == 'SpaceInvaders' else title.lower()}"


def gymnasium_names() -> list[str]:
    """Return the ids of Gymnasium that are no Atari games, each in its newest version."""
    newest: dict[tuple[str | None, str], gymnasium.envs.registration.EnvSpec] = {}
    for spec in gymnasium.registry.values():
        key = spec.namespace, spec.name
        if spec.id not in registered_games() and (spec.version or 0) >= (newest.get(key, spec).version or 0):
            newest[key] = spec
    return [spec.id for spec in newest.values()]


def _listed(name: str) -> Listed | None:
    """Return an environment; None where it cannot be made, or has spaces that are not supported."""
    if name in roms():
        block, is_installed = "atari", True
    elif name.startswith("minatar/"):
        block, is_installed = "minatar", find_spec("minatar") is not None
    else:
        try:
            block, is_installed = _kind_of(name), True
        # Gymnasium and its extras raise errors of many classes
        except Exception:
            return None
    return Listed(name, block, presets.names(block), is_installed)


def _kind_of(id: str) -> str:
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        env = build(Registered(id))
        try:
            seen = observations(env.observation_space, id)
            return kind(id, Spec(seen.shape, seen.dtype, actions(env.action_space, id).kind, 1))
        finally:
            env.close()
