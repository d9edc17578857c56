"""Directories of runs: creates one, locks one for training, and finds one by id, prefix, path or ``last``."""

import fcntl
import os
import platform
import random
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from asyncrl.errors import InputError, nearest
from asyncrl.store.atomic import open_regular
from asyncrl.store.document import DOCUMENT, Status, read_document

LOCK = "lock"
LOCK_PATIENCE = 0.25  # seconds; is_held holds a shared lock for an instant
QUIET_SECONDS = 600  # without a new row, after which a run on another machine counts as crashed
CRASHED = "its process is gone, and left no reason; asyncrl resume continues it"


def claim(root: Path, stem: str, name: str | None = None) -> Path:
    """Create a new run's directory, ``<stem>-<time>-<random>`` or exactly ``name``; no other process gets the same.

    Raises:
        InputError: the name is taken or not allowed, or the directory cannot be created.
    """
    if name is not None and (name == "last" or not re.fullmatch(r"\w[\w.+=-]*", name)):
        raise InputError(f"A run cannot be named {name!r}: use letters, digits and . _ + = - (and not 'last').")
    stem = re.sub(r"[^\w.+=-]+", "-", stem)  # ALE/Pong-v5, module:factory
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            run = root / (name or f"{stem}-{datetime.now():%Y%m%d%H%M%S}-{secrets.token_hex(2)}")
            try:
                run.mkdir()
            except FileExistsError:
                if name is not None:
                    raise InputError(f"There is a run {name!r} in {root} already; choose another name.") from None
            else:
                return run
    except OSError as error:
        reason = "it is a file" if root.is_file() else error.strerror
        raise InputError(f"Cannot write results to {root}: {reason}.") from None


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Hold the lock of a run during training; the kernel releases it when this process ends, however it ends.

    Raises:
        InputError: another process holds it (the message names that process), or the lock cannot be written.
    """
    try:
        file = os.fdopen(open_regular(run / LOCK), "a+")
    except OSError as error:
        raise InputError(f"Cannot write to {run}: {error.strerror}.") from None
    with file:
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            raise InputError(f"{run.name} is being trained by {file.read() or 'another process'}.") from None
        file.truncate(0)
        # On a full disk the lock has no owner's name in it, but is held.
        with suppress(OSError):
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _lock(file: TextIO) -> None:
    """Lock a file; retry for LOCK_PATIENCE, because ``is_held`` of another process holds it for an instant."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01 * random.random())


def is_held(run: Path) -> bool:
    """Return whether a process holds the lock of a run at this moment."""
    # OSError: there is no lock file, or the file system has no locks.
    with suppress(OSError), (run / LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def current_document(run: Path) -> dict[str, Any]:
    """Return ``run.json``, with the status ``crashed`` where it has ``running`` but the process is gone.

    Raises:
        InputError: as in read_document.
    """
    document = read_document(run)
    if document.get("status") == Status.RUNNING and not _is_live(run):
        # Read again: the run may have ended in between.
        document = read_document(run)
        if document.get("status") == Status.RUNNING:
            document |= {"status": Status.CRASHED, "reason": CRASHED}
    return document


def _is_live(run: Path) -> bool:
    if is_held(run):
        return True
    # A run on this machine would hold its lock; the lock of another machine may be invisible from here.
    with suppress(OSError):
        if (run / LOCK).read_text().endswith(f" on {platform.node()}"):
            return False
    times = [file.stat().st_mtime for file in (run / DOCUMENT, *run.glob("*.jsonl"))]
    return time.time() - max(times) < QUIET_SECONDS


def list_runs(root: Path) -> list[Path]:
    """Return the runs in a directory, the last started first; an empty list where there is no such directory."""
    return sorted((file.parent for file in root.glob(f"*/{DOCUMENT}")), key=_started, reverse=True)


def _started(run: Path) -> tuple[float, str]:
    try:
        started = datetime.fromisoformat(read_document(run)["started"]).timestamp()
    except (InputError, KeyError, TypeError, ValueError):
        # A damaged run is sorted by its last change.
        started = run.stat().st_mtime
    return started, run.name


def find(root: Path, query: str) -> Path:
    """Return the run of an id, of the beginning of one, of a path, or ``last``; raise InputError if none or many."""
    runs = list_runs(root)
    if query == "last" and runs:
        return runs[0]
    for run in (root / query, Path(query)):
        if query and os.path.isfile(run / DOCUMENT):  # Path.is_file may raise
            return run
    names = [run.name for run in runs]
    matches = [name for name in names if name.startswith(query)]
    if len(matches) > 1:
        shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise InputError(f"{query!r} matches {len(matches)} runs: {shown}. Type more of it.")
    if matches:
        return root / matches[0]
    if query and os.path.isdir(query):
        raise InputError(f"{query} is not a run: it has no {DOCUMENT}.")
    if not runs:
        raise InputError(f"There is no run {query!r}: {root} holds none yet.")
    near = nearest(query, names) or nearest(query, (name[: len(query)] for name in names))
    raise InputError(f"There is no run {query!r} in {root}.{near}")
