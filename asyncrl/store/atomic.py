"""Atomic, durable writes: a file is written whole and synced, and only then gets its name.

No link is followed: what has the name of a run's file, but is no regular file, is renamed and kept.
"""

import errno
import math
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from asyncrl.store.json_text import parse
from asyncrl.system.files import open_descriptor, read_regular
from asyncrl.text import printable

MAX_OBJECT_BYTES = 16 << 20  # of a file with one JSON object
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: object) -> object:
    """Convert a value for strict JSON in UTF-8; ``restored`` is its inverse for numbers.

    Arrays and tuples become lists, numpy's numbers Python's, NaN and ±∞ the texts ``"NaN"``, ``"Infinity"`` and
    ``"-Infinity"``, and characters of a text that cannot be encoded become escapes.
    """
    if value is None or type(value) in (bool, int):  # quick, since most values of rows are numbers
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {printable(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, str):
        return printable(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def restored(value: Any) -> Any:
    """Return a value of a row with its numbers that are not finite."""
    if isinstance(value, dict):
        return {key: restored(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [restored(inner) for inner in value]
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value


def read_object(path: Path) -> dict[str, Any]:
    """Read a file with one JSON object; raise OSError if it cannot be read, ValueError if it has no object."""
    return parse_object(read_regular(path, MAX_OBJECT_BYTES))


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the one JSON object of a text; raise ValueError if it has none."""
    table = parse(data)
    if not isinstance(table, dict):
        raise ValueError("it is not a table")
    return table


def open_for_append(path: Path) -> FileIO:
    """Open a regular file for reading and appending, unbuffered; create it where there is none."""
    make_room(path)
    return os.fdopen(open_descriptor(path, flags=os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b", buffering=0)


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file, and not a link to one; raise OSError where that cannot be found out."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def make_room(path: Path) -> bool:
    """Rename what has the name of a file and is no regular file; return whether there was such a thing."""
    if not os.path.lexists(path) or is_regular(path):
        return False
    set_aside(path)
    return True


def set_aside(path: Path) -> None:
    """Rename a file, a directory or a link that is in the place of another: it may be somebody's."""
    path.rename(path.with_name(f"{path.name}.set-aside-{secrets.token_hex(4)}"))


def make_directory(path: Path) -> None:
    """Create a directory and its parents where they are absent; raise OSError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def hidden_name(folder: Path) -> Path:
    """Return a new name for a file or a directory that is not complete."""
    return folder / f".tmp-{secrets.token_hex(4)}"


def delete_hidden(folder: Path) -> None:
    """Delete what killed processes have left incomplete in a directory that only this process writes to."""
    for stale in folder.glob(".tmp-*"):
        delete(stale)


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def delete(path: Path) -> None:
    """Delete a directory, a file or a link, not what a link leads to; leave what cannot be deleted."""
    if is_directory(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove(path: Path) -> None:
    """Remove a directory; it is renamed first, so that a crash leaves no incomplete one under its name."""
    if os.path.lexists(path):
        hidden = hidden_name(path.parent)
        path.rename(hidden)
        delete(hidden)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file, and wait until it is on disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader finds the whole old or the whole new contents, even after a crash."""
    make_room(path)
    temporary = hidden_name(path.parent)
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        delete(temporary)
        raise
    sync_directory(path.parent)
