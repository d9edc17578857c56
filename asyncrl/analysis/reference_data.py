"""Published scores from ``reference/*.csv``, each with the kind of episode start and its source."""

from functools import cache
from importlib.resources import files

import pandas as pd

from asyncrl.envs.names import alphanumeric, game_key

NO_OP, HUMAN = "no-op", "human"  # kinds of episode start: up to 30 no-ops, or states that a human had reached
STARTS = {
    "atari-paper-noop": NO_OP,
    "atari-sticky-noop": NO_OP,
}  # by protocol; others have no references


@cache
def _table(name: str) -> pd.DataFrame:
    return pd.read_csv(str(files("asyncrl").joinpath("analysis", "reference", f"{name}.csv")))


def references() -> pd.DataFrame:
    """Return random and human scores: columns game, title, starts, random, human, source."""
    return _table("references").copy()


def scores() -> pd.DataFrame:
    """Return scores of published agents: columns game, starts, method, score, source."""
    return _table("scores").copy()


def summary() -> pd.DataFrame:
    """Return Table 1 as printed: mean and median % over 57 games, human starts."""
    return _table("table1").copy()


def speedup() -> pd.DataFrame:
    """Return Table 2 as printed: columns algo, threads, speedup."""
    return _table("table2").copy()


def game(env: str) -> str:
    """Return the ROM of an ``--env`` (``pong`` for ``ALE/Pong-v5``), or the name itself if it is no Atari game."""
    return _roms().get(game_key(env), env)


@cache
def _roms() -> dict[str, str]:
    return {alphanumeric(rom): rom for rom in _table("references")["game"]}
