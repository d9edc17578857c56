"""Errors of the user, which end a command with one line, and the exit codes of the ``asyncrl`` command."""

import errno
import signal
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # a full disk, or a similar condition


class Exit(IntEnum):
    """Exit codes of the ``asyncrl`` command."""

    OK = 0
    BAD_INPUT = 2  # the user can correct it: nothing was started, nothing was written
    NO_CHECKPOINT = 3  # all checkpoints are damaged, or there is none yet
    WORKER_FAILED = 4  # a worker process failed; the run has its traceback
    DISK_FULL = 5  # the run could not be saved for too long; earlier checkpoints are intact
    WARNED = 75  # SIGUSR1, a scheduler's warning: stopped with a checkpoint, to be started again (EX_TEMPFAIL)
    HUNG_UP = 129  # SIGHUP, the terminal was closed: stopped with a checkpoint
    INTERRUPTED = 130  # Ctrl-C: stopped with a checkpoint
    TERMINATED = 143  # SIGTERM: stopped with a checkpoint


STOPS = {  # signals that end a run, and their exit codes
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
    signal.SIGHUP: Exit.HUNG_UP,
    signal.SIGUSR1: Exit.WARNED,
}


class InputError(Exception):
    """Mistakes that the user can correct; each argument names one, and its correction."""

    code = Exit.BAD_INPUT

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class RunFailed(Exception):
    """A run that could not continue. Its text is one line."""

    def __init__(self, run: Path, reason: str, code: Exit) -> None:
        """Name the run, the reason and the exit code."""
        super().__init__(run, reason, code)  # all arguments, so that the exception can be pickled
        self.run, self.reason, self.code = run, reason, code

    def __str__(self) -> str:
        return self.reason


class Stopped(Exception):
    """A run that was stopped by a signal, with a checkpoint."""

    def __init__(self, run: Path, code: Exit) -> None:
        """Name the run and the exit code."""
        super().__init__(run, code)
        self.run, self.code = run, code

    def __str__(self) -> str:
        names = {exit_code: number.name for number, exit_code in STOPS.items()} | {Exit.INTERRUPTED: "Ctrl-C"}
        return f"stopped by {names[self.code]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'pong'?`` for a misspelt word, or an empty string if no known word is similar."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
