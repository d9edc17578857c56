"""How bytes become durable: written whole, synced, and only then given their name."""

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain(value: object) -> object:
    """Return a value as JSON knows it: arrays and tuples as lists, numpy's numbers as Python's, NaN and ∞ as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; raise OSError or ValueError where it does not."""
    try:
        table = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(table, dict):
        raise ValueError("it is not a table")
    return table


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the disk has a directory's names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Give a file new contents at once: a reader, or a crash, finds the old ones or the new ones, both whole."""
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
