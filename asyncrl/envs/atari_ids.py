"""Ids of Atari games in Gymnasium and in old versions of Gym: which game one names, and what is different here."""

import re
from typing import NamedTuple

from asyncrl.config import Atari
from asyncrl.envs.names import alphanumeric

# ``ALE/Pong-v5``, ``PongDeterministic-v4``, ``Pong-ramNoFrameskip-v0``
ID = re.compile(
    r"(?P<ale>ALE/)?(?P<title>\w+?)(?P<ram>-?ram)?(?P<frames>NoFrameskip|Deterministic)?(-v(?P<version>\d+))?",
    re.IGNORECASE,
)
OURS = "4 frames"  # of an action
FRAMES = {"noframeskip": "1 frame", "deterministic": OURS}
STICKY = ("0", "5")  # versions with sticky actions; version 4 has none
VERSIONS = ("0", "4", "5")


class AtariId(NamedTuple):
    """What an id says about an Atari game."""

    title: str
    is_known: bool  # whether the version was ever registered
    is_ram: bool  # observations are the 128 bytes of the console's memory
    frames: str  # of an action
    is_sticky: bool

    def differences(self, atari: Atari) -> str:
        """Return what is different in this package, with these settings."""
        told = [f"observations are four grey pictures of {atari.frame_size} × {atari.frame_size}"]
        if self.frames != OURS:
            told.append(f"an action takes {OURS}, not {self.frames}")
        if self.is_sticky and atari.protocol == "paper":
            told.append("actions are not sticky (--set atari.protocol=sticky)")
        if not self.is_sticky and atari.protocol == "sticky":
            told.append("actions are sticky")
        lives = " and a lost life is terminal" if atari.protocol == "paper" else ""
        told.append(f"in training rewards are clipped{lives}")
        return f"{', '.join(told[:-1])}, and {told[-1]}"


def parse(env: str) -> AtariId | None:
    """Return what an id says; None where a text does not have the form of one. The title may be that of no game."""
    found = ID.fullmatch(env.rpartition(":")[2])
    if found is None:
        return None
    version = found["version"] or ""
    skip = (found["frames"] or "").lower()
    frames = FRAMES.get(skip, OURS if version == "5" else "2 to 4 frames")
    # its shots blink, and every fourth frame may show none of them
    if skip == "deterministic" and alphanumeric(found["title"]) == "spaceinvaders":
        frames = "3 frames"
    return AtariId(found["title"], version in VERSIONS, found["ram"] is not None, frames, version in STICKY)
