"""The environments that this machine can train, with the presets for each; nothing here imports torch."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from fnmatch import fnmatch
from importlib.util import find_spec
from io import StringIO
from typing import NamedTuple

import gymnasium

from asyncrl import presets
from asyncrl.config import Atari
from asyncrl.envs import registry
from asyncrl.envs.gym import GymEnvironments, build
from asyncrl.envs.names import alphanumeric
from asyncrl.envs.registry import (
    MINATAR_TITLES,
    Factory,
    MinAtarGame,
    Registered,
    Rom,
    canonical,
    kind,
    parse_name,
    registered_games,
    roms,
)
from asyncrl.errors import InputError, needs
from asyncrl.text import error_text, one_line

MISSING, UNSUPPORTED = "missing", "unsupported"  # kinds of environments that cannot be made, or cannot be trained
KINDS = ("atari", "minatar", "vector", "continuous", "image", MISSING, UNSUPPORTED)  # in the order of the list
MUJOCO = "gymnasium[mujoco]"  # what gymnasium names where MuJoCo is missing


class Listed(NamedTuple):
    """An environment."""

    name: str  # as ``--env`` takes it
    kind: str  # the block of its presets; or that it is ``missing`` or ``unsupported``
    presets: tuple[str, ...] = ()
    is_installed: bool = True
    problem: str | None = None  # what it needs, or why it is not supported


def environments(pattern: str = "") -> list[Listed]:
    """Return the environments that a pattern means: Atari, MinAtar, and those of Gymnasium.

    A pattern is a name as ``--env`` takes it, a part of one, or has ``*`` and ``?``; upper and lower case are equal.
    Without a pattern, those that are not supported are left out.
    """
    matches = [name for name in (*roms(), *minatar_names(), *gymnasium_names()) if _matches(name, pattern)]
    with suppress(InputError):
        name = canonical(pattern)
        # a game of MinAtar has two names
        if name not in map(canonical, matches):
            matches.append(name)
    listed = [each for name in matches if (each := _listed(name)).kind != UNSUPPORTED or pattern]
    return sorted(listed, key=lambda each: (KINDS.index(each.kind), each.name))


def problems(pattern: str, found: Sequence[Listed]) -> list[str]:
    """Return why no environment that a pattern means can be trained; empty if one can, or its packages are missing."""
    if not found:
        try:
            parse_name(pattern)
        except InputError as error:
            return [str(error)]
    unsupported = [each.problem or "" for each in found if each.kind == UNSUPPORTED]
    return unsupported if len(unsupported) == len(found) else []


def note(pattern: str) -> str | None:
    """Return what is different here from an id of an Atari game; None for other patterns."""
    with suppress(InputError):
        return registry.note(pattern, Atari())
    return None


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    if any(character in pattern for character in "*?["):
        return fnmatch(name, pattern)
    letters = alphanumeric(pattern)
    return pattern in name or (letters != "" and letters in alphanumeric(name))


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


def _listed(name: str) -> Listed:
    """Return an environment, by a name that ``parse_name`` knows; one of Gymnasium or of the user is made once."""
    named = parse_name(name)
    if isinstance(named, Rom):
        return Listed(name, "atari", presets.names("atari"))
    if isinstance(named, MinAtarGame):
        is_installed = find_spec("minatar") is not None
        problem = None if is_installed else needs(name, "minatar", "minatar")
        return Listed(name, "minatar", presets.names("minatar"), is_installed, problem)
    try:
        block = _kind_of(name, named)
    # Gymnasium and its extras raise errors of many classes
    except Exception as error:
        missing = error.__cause__ if isinstance(named, Registered) else None
        if isinstance(missing, ImportError | gymnasium.error.DependencyNotInstalled):
            return Listed(name, MISSING, is_installed=False, problem=_what_is_missing(name, missing))
        return Listed(name, UNSUPPORTED, problem=str(error) if isinstance(error, InputError) else error_text(error))
    return Listed(name, block, presets.names(block))


def _what_is_missing(name: str, error: Exception) -> str:
    """Return what an environment of Gymnasium needs, from the error of its constructor."""
    if MUJOCO in str(error):
        return needs(name, "mujoco", "mujoco")
    return f"{name} needs a package: {one_line(str(error))}."


def _kind_of(name: str, named: Registered | Factory) -> str:
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        env = build(named)
        try:
            return kind(name, GymEnvironments(name, [env]).spec)
        finally:
            env.close()
