"""Atomic, durable writes: a file is written whole and synced, and only then gets its name."""

import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncrl.store.json_text import parse
from asyncrl.system.files import read_regular
from asyncrl.text import printable

MAX_OBJECT_BYTES = 16 << 20  # of a file with one JSON object
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: object) -> object:
    """Convert a value for strict JSON in UTF-8; ``restored`` is its inverse for numbers.

    Arrays and tuples become lists, numpy's numbers Python's, NaN and ±∞ the texts ``"NaN"``, ``"Infinity"`` and
    ``"-Infinity"``, and characters of a text that cannot be encoded become escapes.
    """
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
    table = parse(read_regular(path, MAX_OBJECT_BYTES))
    if not isinstance(table, dict):
        raise ValueError("it is not a table")
    return table


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
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
