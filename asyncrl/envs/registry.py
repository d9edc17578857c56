"""The names that ``--env`` accepts: an Atari game, a game of MinAtar, a Gymnasium id, or ``pkg.module:factory``.

Nothing is built here.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import ale_py
import gymnasium

from asyncrl.config import Atari, Channels
from asyncrl.envs import atari_ids
from asyncrl.envs.base import Box, Spec
from asyncrl.envs.names import alphanumeric
from asyncrl.errors import InputError, nearest, shown, similar

# The import of ale_py registers its games. This call does nothing more; it shows that the import is needed.
gymnasium.register_envs(ale_py)


# a Python name, or a Gymnasium id such as ``Maze-v0`` and ``mazes/Maze-v0``
ATTRIBUTE = re.compile(r"[\w.-]+(/[\w.-]+)?")
# ``minatar/breakout``, ``MinAtar/SpaceInvaders-v1``; the suite alone has an empty title
MINATAR = re.compile(r"minatar(/|$)(?P<title>.*?)(-v(?P<version>[01]))?", re.IGNORECASE)
# why these take no arguments
OF_ATARI = "Settings of Atari games are atari.protocol, atari.noops and atari.max_frames."
OF_MINATAR = "Published scores of MinAtar are for sticky actions of 0.1 and for difficulty that rises."
MINATAR_TITLES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")


class Rom(NamedTuple):
    """An Atari game, by the name of its ROM, such as ``ms_pacman``."""

    name: str


class MinAtarGame(NamedTuple):
    """A game of the suite MinAtar, by its id there, such as ``MinAtar/SpaceInvaders-v0``."""

    id: str


class Registered(NamedTuple):
    """An environment in Gymnasium's registry, such as ``CartPole-v1``, and arguments of ``gymnasium.make``."""

    id: str
    args: Mapping[str, Any] = {}


class Factory(NamedTuple):
    """A callable in the user's code that returns a ``gymnasium.Env``, or a Gymnasium id that its module registers."""

    module: str
    attribute: str
    args: Mapping[str, Any] = {}  # of the callable, or of gymnasium.make


Named: TypeAlias = Rom | MinAtarGame | Registered | Factory


def parse(env: str, args: Mapping[str, Any]) -> Named:
    """Parse the name of an environment, and add its arguments.

    Raise InputError as ``parse_name`` does, and where an environment of this package gets arguments.
    """
    named = parse_name(env)
    if isinstance(named, Registered | Factory):
        return named._replace(args=args)
    if args:
        argument = f"{env} takes no arguments, so leave out env_args.{next(iter(args))}."
        raise InputError(f"{argument} {OF_ATARI if isinstance(named, Rom) else OF_MINATAR}")
    return named


def parse_name(env: str) -> Named:
    """Parse the name of an environment.

    A game has three kinds of names: its ROM (``ms_pacman``), any spelling of its title (``MsPacman``, ``Ms. Pac-Man``),
    and every id of it, also of an old Gym (``ALE/MsPacman-v5``, ``MsPacmanDeterministic-v4``). All mean the game under
    this package's protocol; ``note`` tells what an id has otherwise. A game of MinAtar is ``minatar/`` and any spelling
    of its title, or its id: ``minatar/breakout``, ``MinAtar/Breakout-v1``; without a version it is ``-v0``, which was
    published.

    Raise InputError with the most similar known name if the name is unknown.
    """
    if ":" in env:
        module, _, attribute = env.partition(":")
        if (rom := registered_games().get(attribute)) is not None:
            return Rom(rom)
        if module and (game := _minatar_game(attribute)):
            return game
        if not module or not ATTRIBUTE.fullmatch(attribute):
            raise InputError(f"{env!r} is not of the form pkg.module:factory or pkg.module:Id-v0.")
        return Factory(module, attribute)
    if (rom := registered_games().get(env)) is not None:
        return Rom(rom)
    if (rom := _titles().get(alphanumeric(env))) is not None:
        return Rom(rom)
    if game := _minatar_game(env):
        return game
    if env in gymnasium.registry:
        return Registered(env)
    if found := MINATAR.fullmatch(env):
        near = [f" Did you mean 'MinAtar/{title}'?" for title in similar(found["title"], MINATAR_TITLES)]
        raise InputError(
            f"There is no environment {shown(env)}.{''.join(near[:1])} "
            f"The games of MinAtar are {', '.join(map('MinAtar/{}'.format, MINATAR_TITLES))}, also with -v0 or -v1."
        )
    return _game_of_old_id(env)


def _game_of_old_id(env: str) -> Rom:
    """Return the game of an id of an old Gym; raise InputError for every other name."""
    known = [
        *roms(),
        *(id for id in gymnasium.registry if id not in registered_games()),
        *map("MinAtar/{}".format, MINATAR_TITLES),
    ]
    title, rom = env, None
    if found_id := atari_ids.parse(env):
        title, rom = found_id.title, _titles().get(alphanumeric(found_id.title))
        if rom and found_id.is_known and not found_id.is_ram:
            return Rom(rom)
        if rom and found_id.is_ram:
            raise InputError(
                f"{env} shows 128 bytes of memory in place of pictures, which is not supported; use {rom!r}."
            )
    raise InputError(
        f"There is no environment {shown(env)}.{f' Did you mean {rom!r}?' if rom else nearest(title, known)} "
        "A name is an Atari game (pong), a game of MinAtar (minatar/breakout), a Gymnasium id (CartPole-v1), or "
        "pkg.module:factory."
    )


def note(env: str, atari: Atari) -> str | None:
    """Return a sentence on what is different here from an id of an Atari game; None for all other names."""
    named, found = parse_name(env), atari_ids.parse(env)
    if not isinstance(named, Rom) or found is None or not found.is_known:
        return None
    return f"{env} is trained as {named.name!r}: {found.differences(atari)}."


def _minatar_game(env: str) -> MinAtarGame | None:
    if found := MINATAR.fullmatch(env):
        for title in MINATAR_TITLES:
            if alphanumeric(title) == alphanumeric(found["title"]):
                return MinAtarGame(f"MinAtar/{title}-v{found['version'] or 0}")
    return None


def channel_axis(named: Named, asked: Channels) -> Channels:
    """Return the axis of the channels of an environment's images: the last one in MinAtar, elsewhere as asked for."""
    return "last" if isinstance(named, MinAtarGame) else asked


def kind(env: str, spec: Spec) -> str:
    """Return the block of presets of an environment: atari, minatar, image, vector or continuous."""
    if isinstance(spec.actions, Box):
        return "continuous"
    if len(spec.obs_shape) != 3:
        return "vector"
    named = parse_name(env)
    return "atari" if isinstance(named, Rom) else "minatar" if isinstance(named, MinAtarGame) else "image"


def canonical(env: str) -> str:
    """Return the one name under which an environment is recorded; raise InputError as ``parse_name`` does.

    This is the ROM for a game (``pong`` for ``ALE/Pong-v5``), the id for a game of MinAtar and for another registered
    environment, and ``module:attribute`` for a factory. ``canonical(canonical(env)) == canonical(env)``.
    """
    named = parse_name(env)
    if isinstance(named, Rom):
        return named.name
    return named.id if isinstance(named, Registered | MinAtarGame) else f"{named.module}:{named.attribute}"


@cache
def roms() -> tuple[str, ...]:
    """Return the ROM names of all one-player games, sorted."""
    return tuple(sorted(set(registered_games().values())))


@cache
def registered_games() -> dict[str, str]:
    """Return the ROM of every Gymnasium id that is an Atari game: ``ALE/Pong-v5``, ``PongNoFrameskip-v4``."""
    games = (spec for spec in gymnasium.registry.values() if spec.entry_point == "ale_py.env:AtariEnv")
    return {spec.id: spec.kwargs["game"] for spec in games}


@cache
def _titles() -> dict[str, str]:
    return {alphanumeric(rom): rom for rom in roms()}
