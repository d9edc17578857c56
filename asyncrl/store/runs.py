"""Directories of runs: claiming a new one, and finding an old one by what a person types."""

import fcntl
import json
import operator
import os
import platform
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from asyncrl.config import field_names, flatten, parse_frames
from asyncrl.envs.names import game_key
from asyncrl.errors import InputError, nearest
from asyncrl.store.atomic import read_object

FORMAT = 1  # of run.json and the rows beside it
DOCUMENT, LOCK = "run.json", "lock"
INSTANT = 0.25  # seconds, for which somebody may only be asking whether a lock is taken
QUIET_SECONDS = 600  # without a row, after which a run on another machine is taken to have crashed
CRASHED = "its process is gone, and nothing says why; asyncrl resume goes on with it"
Conditions = Callable[[Path, Mapping[str, Any]], bool]  # of a run with its document
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def claim(root: Path, stem: str, name: str | None = None) -> Path:
    """Make a new run's directory, ``<stem>-<time>-<random>`` or exactly ``name``; nobody else can get the same one.

    Raises:
        InputError: the name is taken or is not one, or nothing can be written there.
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
    """Own a run while it trains; however this process ends, the lock ends with it.

    Raises:
        InputError: another process owns it, which the text names; or nothing can be written there.
    """
    try:
        file = (run / LOCK).open("a+")
    except OSError as error:
        raise InputError(f"Cannot write to {run}: {error.strerror}.") from None
    with file:
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            raise InputError(f"{run.name} is being trained by {file.read() or 'another process'}.") from None
        file.truncate(0)
        with suppress(OSError):  # a full disk: nobody is told who it is, but it is held
            os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        yield


def _lock(file: TextIO) -> None:
    """Lock a file; who only asks whether it is locked has it for an instant, and is waited for."""
    deadline = time.monotonic() + INSTANT
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01 * random.random())


def is_held(run: Path) -> bool:
    """Say whether a process owns a run at this moment, whatever number a process has or had."""
    with suppress(OSError), (run / LOCK).open() as file:  # no lock, or a file system without any
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_document(run: Path) -> dict[str, Any]:
    """Return what ``run.json`` says; raise InputError where it is missing, damaged, or of a newer asyncrl."""
    try:
        document = read_object(run / DOCUMENT)
    except FileNotFoundError:
        raise InputError(f"{run} is not a run: it has no {DOCUMENT}.") from None
    except OSError as error:
        raise InputError(f"Cannot read {run / DOCUMENT}: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(f"{run / DOCUMENT} is damaged: {error}.") from None
    version = document.get("format")
    if not isinstance(version, int):
        raise InputError(f"{run / DOCUMENT} is damaged: it names no format.")
    if version > FORMAT:
        raise InputError(f"{run} was written by a newer asyncrl (format {version}; this one reads up to {FORMAT}).")
    return document


def current_document(run: Path) -> dict[str, Any]:
    """Return what ``run.json`` says, but tell a run that crashed without a word from a live one: both say ``running``.

    Raises:
        InputError: as in read_document.
    """
    document = read_document(run)
    if document.get("status") == "running" and not _is_live(run):
        document = read_document(run)  # it may have ended in between
        if document.get("status") == "running":
            document |= {"status": "crashed", "reason": CRASHED}
    return document


def _is_live(run: Path) -> bool:
    if is_held(run):
        return True
    with suppress(OSError):
        if (run / LOCK).read_text().endswith(f" on {platform.node()}"):  # elsewhere a lock may not be seen from here
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
        started = run.stat().st_mtime  # damaged: it should not vanish from where it belongs
    return started, run.name


def find(root: Path, query: str) -> Path:
    """Return the run that an id, the beginning of one, a path, or ``last`` means; raise InputError if none or many."""
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


def select(root: Path, where: str | None = None) -> list[tuple[Path, dict[str, Any]]]:
    """Return runs with their documents, the last started first, as ``asyncrl ls --where`` picks them.

    A damaged document stands as one whose status is ``damaged``, with the reason.

    Args:
        root: the directory of runs.
        where: conditions on settings, ``id`` and ``status``, such as ``algo=a3c and optimizer.lr>=1e-4``.
    """
    fulfils, chosen = conditions(where), []
    for run in list_runs(root):
        try:
            document = current_document(run)
        except InputError as error:
            document = {"status": "damaged", "reason": str(error)}
        if fulfils(run, document):
            chosen.append((run, document))
    return chosen


def conditions(where: str | None) -> Conditions:
    """Return what says whether a run with its document fulfils conditions, as ``select`` takes them."""
    each = [_condition(text) for text in re.split(r"\s+and\s+", where.strip())] if where else []

    def fulfils(run: Path, document: Mapping[str, Any]) -> bool:
        config = document.get("config")
        settings = flatten(config if isinstance(config, Mapping) else {})
        facts = settings | {"id": run.name, "status": document.get("status")}
        return all(condition(facts) for condition in each)

    return fulfils


def _condition(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Read ``name=value``, or another comparison, as a test of a run's facts."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(==|!=|>=|<=|=|>|<)\s*([^\s<>=!]\S*)\s*", text)
    if not match:
        raise InputError(f"--where takes conditions such as 'algo=a3c and threads>=4'; got {text!r}.")
    name, symbol, wanted = match.groups()
    known = [*field_names(), "id", "status"]
    if name not in known:
        raise InputError(f"There is no setting {name!r}.{nearest(name, known)}")
    number = _number(wanted)
    if number is None and symbol not in ("=", "==", "!="):
        raise InputError(f"{name}{symbol}{wanted} needs a number, such as 4, 1e-3 or 10M.")

    def holds(facts: Mapping[str, Any]) -> bool:
        actual = facts.get(name)
        if number is not None and isinstance(actual, int | float):
            return OPERATORS[symbol](actual, number)
        said = actual if isinstance(actual, str) else json.dumps(actual)
        same = game_key(wanted) == game_key(said) if name == "env" else wanted == said
        return same if symbol in ("=", "==") else symbol == "!=" and not same

    return holds


def _number(text: str) -> float | None:
    try:
        return float(parse_frames(text))  # type: ignore[arg-type]  # a str or a number
    except ValueError:
        return None
