"""What ``--env`` can name: an Atari game, a Gymnasium id, or a user's ``pkg.module:factory``. Nothing is built here."""

from functools import cache
from typing import NamedTuple, TypeAlias

import ale_py
import gymnasium

from asyncrl.errors import InputError, nearest
from asyncrl.text import letters

gymnasium.register_envs(ale_py)  # importing it registers its games: needed anew in every process


class Rom(NamedTuple):
    """An Atari game by the name of its ROM, such as ``ms_pacman``."""

    name: str


class Registered(NamedTuple):
    """An environment in Gymnasium's registry, such as ``CartPole-v1``."""

    id: str


class Factory(NamedTuple):
    """A callable of the user's own that returns a ``gymnasium.Env``."""

    module: str
    attribute: str


Named: TypeAlias = Rom | Registered | Factory


def resolve(env: str) -> Named:
    """Say what a name means.

    A game is known by its ROM (``ms_pacman``), in any spelling of its title (``MsPacman``, ``Ms. Pac-Man``), and by
    every Gymnasium id of it (``ALE/MsPacman-v5``): the id's own protocol gives way to ours. Unknown names raise
    InputError with the nearest one.
    """
    if ":" in env:
        module, _, attribute = env.partition(":")
        if not module or not attribute.isidentifier():
            raise InputError(f"{env!r} is not of the form pkg.module:factory.")
        return Factory(module, attribute)
    if (rom := _ids().get(env)) is not None:
        return Rom(rom)
    if (rom := _titles().get(letters(env))) is not None:
        return Rom(rom)
    if env in gymnasium.registry:
        return Registered(env)
    known = [*roms(), *(id for id in gymnasium.registry if id not in _ids())]
    title = env.removeprefix("ALE/").removesuffix("-v5")
    raise InputError(
        f"There is no environment {env!r}.{nearest(title, known)} "
        "A name is an Atari game (pong), a Gymnasium id (CartPole-v1), or pkg.module:factory."
    )


@cache
def roms() -> tuple[str, ...]:
    """Return the ROM names of every game that one player can play."""
    return tuple(sorted(set(_ids().values())))


@cache
def _ids() -> dict[str, str]:
    """Return the ROM of every Gymnasium id that is an Atari game: ``ALE/Pong-v5``, ``PongNoFrameskip-v4``."""
    games = (spec for spec in gymnasium.registry.values() if spec.entry_point == "ale_py.env:AtariEnv")
    return {spec.id: spec.kwargs["game"] for spec in games}


@cache
def _titles() -> dict[str, str]:
    return {letters(rom): rom for rom in roms()}
