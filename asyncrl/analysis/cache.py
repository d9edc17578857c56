"""Rows of a run as an Arrow table: read from its plain file, or from the compact copy of a finished run.

The copies lie in ``<results>/.compact``, one a file of rows, each with the size and time of the file it was made of;
where these differ, or the copy cannot be read, the plain file is read anew. Deleting the folder costs only time.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pyarrow as pa
import pyarrow.json

from asyncrl.store.rows import read_rows

FOLDER = ".compact"
LARGEST = 2.0**62  # of a number in a row
VERSION = "2"  # of the copies: another one is not read
STAMPS = {"frames": pa.int64(), "steps": pa.int64(), "updates": pa.int64(), "seconds": pa.float64()}
COLUMNS = {  # what a row must have, besides the stamps
    "episodes": {"worker": pa.int64(), "score": pa.float64(), "length": pa.int64()},
    "metrics": {"frames_per_second": pa.float64()},
    "evaluations": {"mean": pa.float64()},
    "failures": {},
}
TEXTS = {"evaluations": ("kind", "protocol"), "failures": ("reason",)}  # what a row must have, as text
TRUTHS = ("completed", "is_final", "is_replaced")  # any other column holds numbers
LEFT_OUT = ("scores", "lengths", "seeds", "traceback")  # lists and texts; they stay in the plain files


class Rows(NamedTuple):
    """What one ``*.jsonl`` file holds."""

    table: pa.Table
    damaged: int  # lines left out
    is_half_written: bool  # the last line is not terminated


def rows(run: Path, name: str, is_finished: bool) -> Rows:
    """Return the rows of ``episodes``, ``metrics``, ``evaluations`` or ``failures``; keep a copy if it is finished."""
    file = run / f"{name}.jsonl"
    try:
        status = file.stat()
    except OSError:
        return Rows(_empty(name), 0, False)
    stamp = f"{VERSION} {status.st_size} {status.st_mtime_ns}"
    copy = run.parent / FOLDER / f"{run.name}.{name}.arrow"
    if is_finished and (found := _read_copy(copy, stamp)) is not None:
        return found
    found = _parse(run, name)
    if is_finished:
        _write_copy(copy, stamp, found)
    return found


def _parse(run: Path, name: str) -> Rows:
    data = (run / f"{name}.jsonl").read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    is_half_written = len(whole) < len(data)
    if not whole.strip():
        return Rows(_empty(name), 0, is_half_written)
    if name in ("episodes", "metrics"):  # many and flat: the others have lists, texts and few rows
        schema = pa.schema({**STAMPS, **COLUMNS[name]})
        known = pa.schema([*schema, *([("completed", pa.bool_())] if name == "episodes" else [])])
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(whole), parse_options=pyarrow.json.ParseOptions(explicit_schema=known)
            )
            if not any(table[column].null_count for column in schema.names) and _is_plain(table):
                return Rows(table.combine_chunks(), 0, is_half_written)
        except pa.ArrowInvalid:
            pass  # a damaged line: read them one by one
    lines = sum(1 for line in whole.split(b"\n") if line.strip())
    table = _from_python(run, name)
    return Rows(table, lines - len(table), is_half_written)


def _is_plain(table: pa.Table) -> bool:
    """Say whether every column that has a number in one run has one here: a damaged row may hold anything."""
    kinds = {field.name: field.type for field in table.schema if field.name not in TRUTHS}
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
    return all(any(test(kind) for test in tests) for kind in kinds.values())


def _from_python(run: Path, name: str) -> pa.Table:
    """Read line by line, leaving out each row in which a column that every row has is missing or of another kind."""
    needed, texts = {**STAMPS, **COLUMNS[name]}, TEXTS.get(name, ())
    kept = [
        row
        for row in read_rows(run, name)
        if all(is_number(row.get(column)) for column in needed)
        and all(isinstance(row.get(text), str) for text in texts)
    ]
    columns = {
        column: pa.array([int(row[column]) if pa.types.is_integer(kind) else float(row[column]) for row in kept], kind)
        for column, kind in needed.items()
    }
    columns |= {text: pa.array([row[text] for row in kept], pa.string()) for text in texts}
    for column in dict.fromkeys(key for row in kept for key in row if key not in columns and key not in LEFT_OUT):
        values = [row.get(column) for row in kept]
        if column in TRUTHS:
            columns[column] = pa.array([value if isinstance(value, bool) else None for value in values], pa.bool_())
        else:
            columns[column] = pa.array([float(value) if is_number(value) else None for value in values], pa.float64())
    return pa.table(columns)


def is_number(value: object) -> TypeGuard[float]:
    """Say whether a value of a row or a document is a number that can be reckoned with; a damaged one may be huge."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _empty(name: str) -> pa.Table:
    return pa.schema({**STAMPS, **COLUMNS[name]}).empty_table()


def _read_copy(copy: Path, stamp: str) -> Rows | None:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(copy))).read_all()
        known = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        if known.get("stamp") != stamp:
            return None
        return Rows(table.replace_schema_metadata(None), int(known["damaged"]), known["half"] == "1")
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def _write_copy(copy: Path, stamp: str, found: Rows) -> None:
    """Keep a copy, whole or not at all; a store that cannot be written to is read more slowly."""
    metadata = {"stamp": stamp, "damaged": str(found.damaged), "half": str(int(found.is_half_written))}
    table = found.table.replace_schema_metadata(metadata)
    temporary = copy.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        copy.parent.mkdir(exist_ok=True)
        with pa.ipc.new_file(str(temporary), table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
            file.write_table(table)
        os.replace(temporary, copy)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
