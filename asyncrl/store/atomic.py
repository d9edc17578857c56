"""Atomic, durable writes: a file is written whole and synced, and only then gets its name."""

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain(value: object) -> object:
    """Convert a value for JSON: arrays and tuples to lists, numpy's numbers to Python's, NaN and ∞ to None."""
    if value is None or type(value) in (bool, int):  # quick, since most values of rows are numbers
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_object(path: Path) -> dict[str, Any]:
    """Read a file with one JSON object; raise OSError if it cannot be read, ValueError if it has no object."""
    try:
        table = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
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
