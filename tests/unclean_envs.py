"""Environments whose rewards are not finite, and whose errors have unclean texts; chosen by environment variables."""

import os

from tests.toys import Corridor


class Rewarding(Corridor):
    """Gives the reward ``REWARD`` at every end of an episode."""

    def act(self, action):
        reward, over = super().act(action)
        return (float(os.environ["REWARD"]) if over else reward), over


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


ERRORS = {
    "surrogate": lambda: ValueError("caf\udce9.rom"),
    "control": lambda: ValueError("\x1b[2J\x00\x07 [/b] <script>"),
    "huge": lambda: ValueError("x" * 30_000_000),
    "lines": lambda: ValueError("y\n" * 1_000_000),
    "silent": Silent,
    "name": lambda: type("Od\x1bd" * 1_000, (Exception,), {})("name"),
    "group": lambda: ExceptionGroup("many", [ValueError("z" * 10_000)] * 1_000),
}


class Failing(Corridor):
    """Raises the error ``ERROR`` at its 300th step."""

    made = 0

    def act(self, action):
        Failing.made += 1
        if Failing.made >= 300:
            raise ERRORS[os.environ["ERROR"]]()
        return super().act(action)
