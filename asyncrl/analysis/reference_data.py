"""Reference scores from ``reference/*.csv``, each with the kind of episode start and its source."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from asyncrl.envs.names import MINATAR, alphanumeric, game_key
from asyncrl.errors import requires_extra

if TYPE_CHECKING:
    import pandas as pd

# kinds of episode start: up to 30 no-ops, states that a human had reached, or those of the games of MinAtar
NO_OP, HUMAN, SUITE = "no-op", "human", "suite"
# by protocol; others have no references
STARTS = {f"atari-{name}": NO_OP for name in ("paper-noop", "sticky-noop", "paper-noop-42", "sticky-noop-42")}
STARTS[MINATAR] = SUITE


@cache
def _table(name: str) -> "pd.DataFrame":
    # sweeps import this module, and only a normalised search needs pandas
    with requires_extra("analysis"):
        import pandas as pd
    return pd.read_csv(str(files("asyncrl").joinpath("analysis", "reference", f"{name}.csv")))


def references() -> "pd.DataFrame":
    """Return the scores of 0 and 100 %: columns game, title, starts, random, human, published, source.

    On Atari 100 % is a human; on MinAtar it is ``published``, the mean of DQN after 5 million frames. It is missing for
    the versions -v1, for which no scores were published.
    """
    return _table("references").copy()


def scores() -> "pd.DataFrame":
    """Return scores of published agents: columns game, starts, method, score, source."""
    return _table("scores").copy()


def summary() -> "pd.DataFrame":
    """Return Table 1 as printed: mean and median % over 57 games, human starts."""
    return _table("table1").copy()


def speedup() -> "pd.DataFrame":
    """Return Table 2 as printed: columns algo, threads, speedup."""
    return _table("table2").copy()


def game(env: str) -> str:
    """Return the name of the game of an ``--env``, or the text itself if there are no references for it.

    This is the ROM of an Atari game (``pong`` for ``ALE/Pong-v5``), and the id of a game of MinAtar
    (``MinAtar/Breakout-v0`` for ``minatar/breakout``).
    """
    key = game_key(env)
    return _games().get(key) or _games().get(f"{key}v0", env)


@cache
def _games() -> dict[str, str]:
    return {alphanumeric(name): name for name in _table("references")["game"]}
