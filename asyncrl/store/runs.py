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
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from asyncrl.errors import InputError, nearest, shown, similar
from asyncrl.store.atomic import open_for_append
from asyncrl.store.document import DOCUMENT, Status, read_document, valid_document
from asyncrl.store.rows import check_row_files, row_files
from asyncrl.store.sweeps import folders, is_published, is_sweep, list_sweeps
from asyncrl.system.files import open_regular

LOCK = "lock"
LOCK_PATIENCE = 0.25  # seconds; is_held holds a shared lock for an instant
MAX_OWNER_BYTES = 300  # of the text in a lock
QUIET_SECONDS = 600  # without a new row, after which a run on another machine counts as crashed
CRASHED = "its process is gone, and left no reason; asyncrl resume continues it"


def claim(root: Path, stem: str, name: str | None = None) -> Path:
    """Create a new run's directory, ``<stem>-<time>-<random>`` or exactly ``name``; no other process gets the same.

    Raises:
        InputError: the name is taken or not allowed, or the directory cannot be created.
    """
    if name is not None:
        check_name(name)
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            run = root / (name or new_name(stem))
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


def new_name(stem: str) -> str:
    """Return ``<stem>-<time>-<random>``, a name that no run has."""
    stem = re.sub(r"[^\w.+=-]+", "-", stem)  # ALE/Pong-v5, module:factory
    return f"{stem}-{datetime.now():%Y%m%d%H%M%S}-{secrets.token_hex(2)}"


def check_name(name: str) -> None:
    """Raise InputError for a name that a run, or a sweep, may not have."""
    if name == "last" or not re.fullmatch(r"\w[\w.+=-]*", name):
        raise InputError(
            f"A run or a sweep cannot be named {shown(name)}: use letters, digits and . _ + = - (and not 'last')."
        )


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Hold the lock of a run during training; the kernel releases it when this process ends, however it ends.

    Raises:
        InputError: another process holds it (the message names that process), or the lock cannot be written.
    """
    try:
        file = open_for_append(run / LOCK)
    except OSError as error:
        raise InputError(f"Cannot write to {run}: {error.strerror}.") from None
    with file:
        try:
            _lock(file)
        except BlockingIOError:
            raise InputError(f"{run.name} is being trained by {_owner(file) or 'another process'}.") from None
        file.truncate(0)
        # On a full disk the lock has no owner's name in it, but is held.
        with suppress(OSError):
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _owner(file: FileIO | BinaryIO) -> str:
    """Return the process that a lock file names; empty if it has no printable name."""
    owner = os.pread(file.fileno(), MAX_OWNER_BYTES, 0).decode(errors="replace")
    return owner if owner.isprintable() else ""


def _lock(file: FileIO) -> None:
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
    with suppress(OSError), open_regular(run / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def open_document(run: Path) -> dict[str, Any]:
    """Return the fields of ``run.json``, each of its type in ``RunDocument``, if all files of the run can be read.

    Raises:
        InputError: a file of the run is damaged, or this is no run.
    """
    document = valid_document(run)
    check_row_files(run)
    return document


def current_document(run: Path) -> dict[str, Any]:
    """Return ``open_document``, with the status ``crashed`` where it has ``running`` but the process is gone.

    Raises:
        InputError: as in open_document.
    """
    document = open_document(run)
    if document.get("status") == Status.RUNNING and not _is_live(run):
        # Read again: the run may have ended in between.
        document = open_document(run)
        if document.get("status") == Status.RUNNING:
            document |= {"status": Status.CRASHED, "reason": CRASHED}
    return document


def document_or_damage(run: Path) -> dict[str, Any]:
    """Return ``current_document``, or for a damaged run only the status ``damaged`` and the reason."""
    try:
        return current_document(run)
    except InputError as error:
        return {"status": Status.DAMAGED, "reason": str(error)}


def _is_live(run: Path) -> bool:
    if is_held(run):
        return True
    # A run on this machine would hold its lock; the lock of another machine may be invisible from here.
    with suppress(OSError), open_regular(run / LOCK) as file:
        if _owner(file).endswith(f" on {platform.node()}"):
            return False
    times = [last_change(file) for file in (run / DOCUMENT, *row_files(run))]
    return time.time() - max(times) < QUIET_SECONDS


def last_change(path: Path) -> float:
    """Return the time of a file's last change; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def list_runs(root: Path) -> list[Path]:
    """Return the runs in a directory, the last started first; an empty list where there is no such directory."""
    return sorted((run for run in folders(root) if os.path.lexists(run / DOCUMENT)), key=_started, reverse=True)


def runs_without_document(root: Path) -> list[Path]:
    """Return directories of runs without ``run.json``: it was deleted, or the run crashed before writing it."""
    found = [run for run in folders(root) if not os.path.lexists(run / DOCUMENT) and not is_sweep(run)]
    found = [run for run in found if not is_held(run)]
    return [run for run in sorted(found) if any(map(os.path.lexists, (run / LOCK, *row_files(run))))]


def _started(run: Path) -> tuple[float, str]:
    try:
        started = datetime.fromisoformat(read_document(run)["started"]).timestamp()
    # A damaged run is sorted by its last change.
    except (InputError, KeyError, TypeError, ValueError, OverflowError, OSError):
        started = last_change(run)
    return started, run.name


def find(root: Path, query: str) -> Path:
    """Return the run of an id, of the beginning of one, of a path, or ``last``; raise InputError if none or many.

    ``SWEEP/CELL`` is a run of a sweep: CELL is ``last``, or the beginning of its id or of the hash at its end.
    """
    runs = list_runs(root)
    if query == "last" and runs:
        return runs[0]
    for run in (root / query, Path(query)):
        if query and os.path.lexists(run / DOCUMENT):
            return run
    folder, _, cell = query.rpartition("/")
    for sweep in (root / folder, Path(folder)):
        if folder and cell and is_published(sweep):
            raise InputError(_no_run(sweep.parent, sweep.name, []))
        if folder and cell and is_sweep(sweep):
            return find(sweep, cell)
    names = [run.name for run in runs]
    matches = [name for name in names if name.startswith(query)]
    if not matches and is_sweep(root):
        matches = [name for name in names if query and name.rpartition("-")[2].startswith(query)]
    if len(matches) > 1:
        shown = ", ".join(matches[:5]) + (", …" if len(matches) > 5 else "")
        raise InputError(f"{query!r} matches {len(matches)} runs: {shown}. Type more of it.")
    if matches:
        return root / matches[0]
    raise InputError(_no_run(root, query, names))


def _no_run(root: Path, query: str, names: list[str]) -> str:
    """Return why a text names no run, and what it may mean."""
    for path in (root / query, Path(query)):
        if query and is_published(path):
            return f"{path} is a published sweep, without the files of its runs. See: asyncrl ls {path}"
        if query and is_sweep(path):
            return f"{path} is a sweep: name one of its runs, {query.rstrip('/')}/CELL. See: asyncrl ls {path}"
        if query and os.path.isdir(path):
            return f"{path} is not a run: it has no {DOCUMENT}."
    sweeps = [sweep.name for sweep in list_sweeps(root)]
    if not names and not sweeps:
        return f"There is no run {query!r}: {root} holds none yet."
    folder, _, cell = query.rpartition("/")
    near = nearest(query, names) or nearest(query, (name[: len(query)] for name in names)) or nearest(query, sweeps)
    if folder:
        near = near or nearest(query, (f"{sweep}/{cell}" for sweep in similar(folder, sweeps)))
    hint = f" Runs of its sweeps are named SWEEP/CELL, such as {sweeps[0]}/last." if sweeps and not near else ""
    return f"There is no run {query!r} in {root}.{near}{hint}"
