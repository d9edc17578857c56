"""What can go wrong for a user: errors that end a command with one line, and the exit codes they end it with."""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the ``asyncrl`` command."""

    OK = 0
    BAD_INPUT = 2  # the user can mend it: nothing was started, nothing was written
    WORKER_FAILED = 4  # an actor-learner failed; its traceback is in the run
    HUNG_UP = 129  # SIGHUP, the terminal was closed: stopped with a checkpoint
    INTERRUPTED = 130  # Ctrl-C: stopped with a checkpoint
    TERMINATED = 143  # SIGTERM: stopped with a checkpoint


class InputError(Exception):
    """A mistake the user can mend. Its text is one line that says what is wrong and what would be right."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'pong'?`` for a misspelt word, or an empty string where nothing is near."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
