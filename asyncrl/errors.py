"""Errors of the user, which end a command with one line, and the exit codes of the ``asyncrl`` command."""

import errno
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path

MAX_WORD, MAX_NEAREST = 100, 4  # characters of a word that is compared, and words that are proposed
MAX_SHOWN = 80  # characters of a wrong value in a message
# Why a file cannot be written, though the program and its input are correct.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE, errno.EACCES})
UNWRITABLE |= {errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE, errno.EISDIR}


class Exit(IntEnum):
    """Exit codes of the ``asyncrl`` command."""

    OK = 0
    SWEEP_INCOMPLETE = 1  # at least one cell of a sweep failed; the others were trained
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


def install(extra: str) -> str:
    """Return the command that installs an extra of the package."""
    return f"pip install 'asyncrl[{extra}]'"


def needs(what: str, packages: object, extra: str) -> str:
    """Return a message: what needs packages that are not installed, and the extra that has them.

    ``packages`` is their names, or the error of an import.
    """
    if isinstance(packages, ModuleNotFoundError):
        packages = (packages.name or str(packages)).partition(".")[0]
    return f"{what} needs {packages}: {install(extra)}."


@contextmanager
def requires_extra(extra: str, what: str = "This") -> Iterator[None]:
    """Raise InputError that names the extra to install where an import finds no module."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(needs(what, error, extra)) from None


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
    """Return `` Did you mean 'pong'?`` for a misspelt or shortened word, or an empty string if none is ``similar``."""
    near = similar(word, known)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def similar(word: str, known: Iterable[str]) -> list[str]:
    """Return the few known names that a word may mean, the most similar first.

    These are names of which the word is a part, such as ``lr`` of ``optimizer.lr`` and ``sarsa`` of ``one-step-sarsa``,
    and the one with the most similar spelling.
    """
    names = {name.lower().lstrip("-"): name for name in known}
    word = word[:MAX_WORD].lower().lstrip("-")
    if word in names:
        return [names[word]]
    last = word.rpartition(".")[2]
    tails = {name.rpartition(".")[2]: name for name in names if "." in name}
    near = [name for name in names if last and last in re.split(r"[.\-]", name)]
    near = sorted({*near, *get_close_matches(word, names, n=1, cutoff=0.6)}, reverse=True)
    near = get_close_matches(word, near, n=MAX_NEAREST, cutoff=0.0)
    near = near or [tails[tail] for tail in get_close_matches(last, tails, n=1, cutoff=0.6)]
    return [names[name] for name in near]


def shown(value: object) -> str:
    """Write a value of the user in a message: bounded, and without characters that a terminal obeys."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    # an integer of thousands of digits, or a list in itself
    except (ValueError, RecursionError):
        return f"a value of the type {type(value).__name__} that cannot be shown"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
