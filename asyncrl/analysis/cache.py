"""Rows of a run as an Arrow table, from JSON lines or from a cached copy (part of step "load" of the pipeline).

Only finished runs are cached, in ``<results>/.compact``, one cache file per ``*.jsonl`` file. A cache file has a digest
of its content, and the size and modification time of its source; if one of them differs, or the cache file cannot be
read, the source is parsed again. The folder can be deleted at any time.
"""

import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.json

from asyncrl.store.columns import as_float
from asyncrl.store.document import MAX_COUNT
from asyncrl.store.rows import MAX_FILE_BYTES, read_row_file, valid_rows
from asyncrl.system.files import read_regular
from asyncrl.text import printable

FOLDER = ".compact"
RUN_COLUMN = "run"  # added by ``load``, so that no row may have it
DIGEST_BYTES = sha256().digest_size
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
    """Return the rows of ``episodes``, ``metrics``, ``evaluations`` or ``failures``; cache those of a finished run.

    Raises:
        InputError: the file cannot be read, or something else is in its place.
    """
    file = run / f"{name}.jsonl"
    try:
        status = file.stat()
    except OSError:
        return Rows(_empty_table(name), 0, False)
    source_version = f"{VERSION} {status.st_size} {status.st_mtime_ns}"
    cache_file = run.parent / FOLDER / f"{run.name}.{name}.arrow"
    if is_finished and (found := _read_cache_file(cache_file, name, source_version)) is not None:
        return found
    found = parse_rows(run, name)
    if is_finished:
        _write_cache_file(cache_file, source_version, found)
    return found


def parse_rows(run: Path, name: str) -> Rows:
    """Parse the JSON lines of one file; exclude damaged rows."""
    data = read_row_file(run, name)
    whole = data[: data.rfind(b"\n") + 1]
    is_truncated = len(whole) < len(data)
    if not whole.strip():
        return Rows(_empty_table(name), 0, is_truncated)
    table = _parse_at_once(whole, name)
    if table is not None:
        return Rows(table, 0, is_truncated)
    rows, damaged = valid_rows(run, name)
    complete = [row for row in rows if all(row[column] is not None for column in _needed(name))]
    return Rows(_as_table(complete, name), damaged + len(rows) - len(complete), is_truncated)


def _needed(name: str) -> dict[str, pa.DataType]:
    return {**COUNTER_COLUMNS, **NUMBER_COLUMNS[name]}


def _parse_at_once(whole: bytes, name: str) -> pa.Table | None:
    """Return the rows of a large and flat file; None for other files, and if a row may be damaged."""
    if name not in ("episodes", "metrics") or b"[" in whole or not _is_table_a_line(whole):
        return None
    known = pa.schema({**_needed(name), **({"completed": pa.bool_()} if name == "episodes" else {})})
    options = pyarrow.json.ParseOptions(explicit_schema=known)
    try:
        table = pyarrow.json.read_json(pa.BufferReader(whole), parse_options=options)
    # A line is damaged.
    except pa.ArrowInvalid:
        return None
    return table.combine_chunks() if _is_valid(table, name) else None


def _is_table_a_line(whole: bytes) -> bool:
    """Return whether each line begins with ``{``, and has no other one."""
    # Arrow's parser has a segmentation fault where a line is ``null``.
    lines = whole.count(b"\n")
    return whole.startswith(b"{") and whole.count(b"\n{") == lines - 1 and whole.count(b"{") == lines


def _is_valid(table: pa.Table, name: str) -> bool:
    """Return whether all columns except booleans are numbers of a valid size, and no required one has nulls."""
    kinds = {field.name: field.type for field in table.schema if field.name not in BOOLEAN_COLUMNS}
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
    if RUN_COLUMN in kinds or not all(any(test(kind) for test in tests) for kind in kinds.values()):
        return False
    if any(table[column].null_count for column in _needed(name)):
        return False
    ranges = {column: pyarrow.compute.min_max(table[column]).as_py() for column in kinds}
    return all(
        span["min"] is None or (_lowest(column) <= span["min"] and span["max"] < MAX_COUNT)
        for column, span in ranges.items()
    )


def _lowest(column: str) -> float:
    return 0 if column in (*COUNTER_COLUMNS, "worker", "length") else -MAX_COUNT


def _as_table(rows: list[dict[str, object]], name: str) -> pa.Table:
    """Return valid rows as a table, with the columns that the analysis needs."""
    columns = {column: pa.array([row[column] for row in rows], kind) for column, kind in _needed(name).items()}
    columns |= {
        text: pa.array([printable(str(row[text])) for row in rows], pa.string()) for text in TEXT_COLUMNS.get(name, ())
    }
    skipped = {*columns, *SKIPPED_COLUMNS, RUN_COLUMN}
    for column in dict.fromkeys(key for row in rows for key in row if key not in skipped):
        values = [row.get(column) for row in rows]
        if column in BOOLEAN_COLUMNS:
            columns[column] = pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        else:
            columns[printable(column)] = pa.array([as_float(value) for value in values], pa.float64())
    return pa.table(columns)


def _empty_table(name: str) -> pa.Table:
    return pa.schema(_needed(name)).empty_table()


def _read_cache_file(cache_file: Path, name: str, source_version: str) -> Rows | None:
    """Return the rows of a cache file; None if it is missing, damaged, or of another version of its source."""
    try:
        content = read_regular(cache_file, MAX_FILE_BYTES)
        digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if digest != sha256(data).digest():
            return None
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        known = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if known.get("stamp") != source_version or not set(_needed(name)) <= set(table.column_names):
            return None
        return Rows(table.replace_schema_metadata(None), int(known["damaged"]), known["half"] == "1")
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def _write_cache_file(cache_file: Path, source_version: str, found: Rows) -> None:
    """Write a cache file atomically; without effect if the directory is not writable."""
    metadata = {"stamp": source_version, "damaged": str(found.damaged), "half": str(int(found.is_truncated))}
    table = found.table.replace_schema_metadata(metadata)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_file(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(table)
    data = stream.getvalue().to_pybytes()
    temporary = cache_file.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        cache_file.parent.mkdir(exist_ok=True)
        temporary.write_bytes(sha256(data).digest() + data)
        os.replace(temporary, cache_file)
    except (OSError, ValueError):  # Arrow opens no path that is not UTF-8
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
