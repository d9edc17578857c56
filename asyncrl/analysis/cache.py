"""Rows of a run as an Arrow table, from JSON lines or from a cached copy (part of step "load" of the pipeline).

Only finished runs are cached, in ``<results>/.compact``, one cache file per ``*.jsonl`` file. A cache file stores the
size and modification time of its source; if they differ, or the cache file cannot be read, the source is parsed again.
The folder can be deleted at any time.
"""

import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import pyarrow as pa
import pyarrow.json

from asyncrl.store.rows import read_rows
from asyncrl.text import printable

FOLDER = ".compact"
MAX_NUMBER = 2.0**62  # larger counters are damage
VERSION = "3"  # of the cache format; other versions are not read
COUNTER_COLUMNS = {"frames": pa.int64(), "steps": pa.int64(), "updates": pa.int64(), "seconds": pa.float64()}
NUMBER_COLUMNS = {  # numbers that a row must have, besides the counters
    "episodes": {"worker": pa.int64(), "score": pa.float64(), "length": pa.int64()},
    "metrics": {"frames_per_second": pa.float64()},
    "evaluations": {"mean": pa.float64()},
    "failures": {},
}
TEXT_COLUMNS = {"evaluations": ("kind", "protocol"), "failures": ("reason",)}  # texts that a row must have
BOOLEAN_COLUMNS = ("completed", "is_final", "is_replaced")  # all other columns are numbers
SKIPPED_COLUMNS = ("scores", "lengths", "seeds", "traceback")  # lists and texts, which no analysis needs


class Rows(NamedTuple):
    """The content of one ``*.jsonl`` file."""

    table: pa.Table
    damaged: int  # number of excluded lines
    is_truncated: bool  # the last line has no newline


def cached_rows(run: Path, name: str, is_finished: bool) -> Rows:
    """Return the rows of ``episodes``, ``metrics``, ``evaluations`` or ``failures``; cache those of a finished run."""
    file = run / f"{name}.jsonl"
    try:
        status = file.stat()
    except OSError:
        return Rows(_empty_table(name), 0, False)
    source_version = f"{VERSION} {status.st_size} {status.st_mtime_ns}"
    cache_file = run.parent / FOLDER / f"{run.name}.{name}.arrow"
    if is_finished and (found := _read_cache_file(cache_file, source_version)) is not None:
        return found
    found = parse_rows(run, name)
    if is_finished:
        _write_cache_file(cache_file, source_version, found)
    return found


def parse_rows(run: Path, name: str) -> Rows:
    """Parse the JSON lines of one file; exclude damaged rows."""
    data = (run / f"{name}.jsonl").read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    is_truncated = len(whole) < len(data)
    if not whole.strip():
        return Rows(_empty_table(name), 0, is_truncated)
    if name in ("episodes", "metrics"):  # large and flat; the others have few rows, with lists and texts
        schema = pa.schema({**COUNTER_COLUMNS, **NUMBER_COLUMNS[name]})
        known = pa.schema([*schema, *([("completed", pa.bool_())] if name == "episodes" else [])])
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(whole), parse_options=pyarrow.json.ParseOptions(explicit_schema=known)
            )
            if not any(table[column].null_count for column in schema.names) and _has_only_numbers(table):
                return Rows(table.combine_chunks(), 0, is_truncated)
        except pa.ArrowInvalid:
            # a line is damaged
            pass
    lines = sum(1 for line in whole.split(b"\n") if line.strip())
    table = _parse_line_by_line(run, name)
    return Rows(table, lines - len(table), is_truncated)


def _has_only_numbers(table: pa.Table) -> bool:
    """Return whether all columns except booleans are numbers; a damaged row may have any type."""
    kinds = {field.name: field.type for field in table.schema if field.name not in BOOLEAN_COLUMNS}
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
    return all(any(test(kind) for test in tests) for kind in kinds.values())


def _parse_line_by_line(run: Path, name: str) -> pa.Table:
    """Parse line by line; exclude rows in which a required column is missing or has a wrong type."""
    needed, texts = {**COUNTER_COLUMNS, **NUMBER_COLUMNS[name]}, TEXT_COLUMNS.get(name, ())
    kept = [
        row
        for row in read_rows(run, name)
        if all(_is_valid(row, column, kind) for column, kind in needed.items())
        and all(isinstance(row.get(text), str) for text in texts)
    ]
    columns = {column: pa.array([_as_kind(row[column], kind) for row in kept], kind) for column, kind in needed.items()}
    columns |= {text: pa.array([printable(row[text]) for row in kept], pa.string()) for text in texts}
    optional = (key for row in kept for key in row if key not in columns and key not in SKIPPED_COLUMNS)
    for column in list(dict.fromkeys(optional)):
        values = [row.get(column) for row in kept]
        if column in BOOLEAN_COLUMNS:
            columns[column] = pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        else:
            columns[printable(column)] = pa.array([_as_float(value) for value in values], pa.float64())
    return pa.table(columns)


def _is_valid(row: Mapping[str, Any], column: str, kind: pa.DataType) -> bool:
    """Return whether a required number is one; a statistic may have any value, a counter must have a valid size."""
    if column in COUNTER_COLUMNS or pa.types.is_integer(kind):
        return is_number(row.get(column))
    # The first release wrote null for a number that is not finite.
    return column in row and (row[column] is None or _as_float(row[column]) is not None)


def _as_kind(value: Any, kind: pa.DataType) -> float | None:
    return int(value) if pa.types.is_integer(kind) else math.nan if value is None else _as_float(value)


def _as_float(value: object) -> float | None:
    """Return a number as a float, or None for what is no number or too large for a float."""
    if isinstance(value, float):
        return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023 else None


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of a row or document is a number of valid size; damage may make it huge."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _empty_table(name: str) -> pa.Table:
    return pa.schema({**COUNTER_COLUMNS, **NUMBER_COLUMNS[name]}).empty_table()


def _read_cache_file(cache_file: Path, source_version: str) -> Rows | None:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(cache_file))).read_all()
        known = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if known.get("stamp") != source_version:
            return None
        return Rows(table.replace_schema_metadata(None), int(known["damaged"]), known["half"] == "1")
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def _write_cache_file(cache_file: Path, source_version: str, found: Rows) -> None:
    """Write a cache file atomically; without effect if the directory is not writable."""
    metadata = {"stamp": source_version, "damaged": str(found.damaged), "half": str(int(found.is_truncated))}
    table = found.table.replace_schema_metadata(metadata)
    temporary = cache_file.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        cache_file.parent.mkdir(exist_ok=True)
        with pa.ipc.new_file(str(temporary), table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
            file.write_table(table)
        os.replace(temporary, cache_file)
    except (OSError, ValueError):  # Arrow opens no path that is not UTF-8
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
