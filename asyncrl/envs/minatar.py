"""The games of MinAtar, an optional package: built without its plotting packages, and truncated after 5,000 steps."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import gymnasium

from asyncrl.errors import requires_extra

MAX_STEPS = 5_000  # a longer episode is truncated: a good policy may play on without end
# The suite imports them for its windows and pictures: seconds and 150 MB for each process.
PLOTTING = ("matplotlib", "seaborn")


def make_game(id: str) -> "gymnasium.Env[Any, Any]":
    """Make a game by its id, such as ``MinAtar/Breakout-v0``; raise InputError where the package is missing."""
    if id not in gymnasium.registry:
        _register(id)
    # a name instead of its spec would print a warning that v0 is older than v1
    env = gymnasium.make(gymnasium.spec(id), max_episode_steps=MAX_STEPS, disable_env_checker=True)
    return SeededFromTheStart(env)


class SeededFromTheStart(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A reset with a seed also forgets the last action, which a sticky action would repeat.

    Otherwise the same seed and actions could give different episodes.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            game: Any = self.unwrapped
            game.game.last_action = 0
        return self.env.reset(seed=seed, options=options)


def _register(id: str) -> None:
    """Register all games in this process."""
    with requires_extra("minatar", id), _without_plotting():
        suite: Any = import_module("minatar.gym")
    suite.register_envs()


@contextmanager
def _without_plotting() -> Iterator[None]:
    """Let imports of plotting packages fail, unless they are imported already; the suite's warning is not printed.

    Logging is afterwards as it was: a warning to a root logger without a handler gives it one.
    """
    hidden = [name for name in PLOTTING if name not in sys.modules]
    disabled, handlers = logging.root.manager.disable, [*logging.root.handlers]
    logging.disable(logging.WARNING)
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
        logging.disable(disabled)
        logging.root.handlers[:] = handlers
