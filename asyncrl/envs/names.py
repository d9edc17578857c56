"""Names of games and protocols as plain text. This module imports nothing, so that the store and reports can use it."""

# protocols of scores, besides those of Atari
MINATAR = "minatar"  # sticky actions 0.1, difficulty ramping, at most 5,000 steps
GYMNASIUM = "gymnasium"


def alphanumeric(title: str) -> str:
    """Return the letters and digits of a title in lower case: ``Space Invaders`` and ``space_invaders`` are equal."""
    return "".join(filter(str.isalnum, title)).lower()


def game_key(env: str) -> str:
    """Return a key that is equal for the spellings of one game: ``ALE/Pong-v5`` gives ``pong``.

    Old runs store the name as the user typed it, and reports compare it with the names of games. A new run stores the
    canonical name (``envs.registry.canonical``).
    """
    return alphanumeric(env.removeprefix("ALE/").removesuffix("-v5").removesuffix("NoFrameskip-v4"))


def short_name(env: str) -> str:
    """Return the last part of an environment's name, for ids of runs: ``pong-v5`` for ``ALE/Pong-v5``."""
    return env.rpartition(":")[2].rpartition("/")[2].lower()


def atari_protocol(protocol: object, noops: object, frame_size: object) -> str:
    """Return the name of an Atari protocol from the settings ``atari.protocol``, ``noops`` and ``frame_size``.

    Scores are reported under this name: ``atari-paper-noop``, ``atari-sticky-noop``; ``atari-paper`` without no-ops;
    ``atari-paper-noop-42`` with smaller frames.
    """
    size = "" if frame_size == 84 else f"-{frame_size}"
    return f"atari-{protocol}-noop{size}" if noops else f"atari-{protocol}{size}"
