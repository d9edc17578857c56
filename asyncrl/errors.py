"""What can go wrong for a user: errors that end a command with one line, and the exit codes they end it with."""

import errno
import signal
from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # a full disk, and what looks like one


class Exit(IntEnum):
    """Exit codes of the ``asyncrl`` command."""

    OK = 0
    BAD_INPUT = 2  # the user can mend it: nothing was started, nothing was written
    NO_CHECKPOINT = 3  # that could be used: all are damaged, or there is none yet
    WORKER_FAILED = 4  # an actor-learner failed; its traceback is in the run
    DISK_FULL = 5  # the run could not be saved for too long; what was saved before is whole
    WARNED = 75  # SIGUSR1, a scheduler's warning: stopped with a checkpoint, to be started again (EX_TEMPFAIL)
    HUNG_UP = 129  # SIGHUP, the terminal was closed: stopped with a checkpoint
    INTERRUPTED = 130  # Ctrl-C: stopped with a checkpoint
    TERMINATED = 143  # SIGTERM: stopped with a checkpoint


STOPS = {  # signals that ask a run to end, and the exit code that says so
    signal.SIGINT: Exit.INTERRUPTED,
    signal.SIGTERM: Exit.TERMINATED,
    signal.SIGHUP: Exit.HUNG_UP,
    signal.SIGUSR1: Exit.WARNED,
}


class InputError(Exception):
    """A mistake the user can mend. Its text says in one line, for each, what is wrong and what would be right."""

    code = Exit.BAD_INPUT


class RunFailed(Exception):
    """A run that could not go on. Its text is one line."""

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
    """Return `` Did you mean 'pong'?`` for a misspelt word, or an empty string where nothing is near."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
