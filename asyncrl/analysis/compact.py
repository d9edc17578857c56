"""Rows of a run as an Arrow table: read from its plain file, or from the compact copy of a finished run.

The copies lie in ``<results>/.compact``, one a file of rows, each with the size and time of the file it was made of;
where these differ, or the copy cannot be read, the plain file is read anew. Deleting the folder costs only time.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json

from asyncrl.store.rows import read_rows

FOLDER = ".compact"
LARGEST = 2.0**62  # of a number in a row
VERSION = "1"  # of the copies: another one is not read
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
    frame = pd.DataFrame([{k: v for k, v in row.items() if k not in LEFT_OUT} for row in read_rows(run, name)])
    for column, kind in {**STAMPS, **COLUMNS[name]}.items():
        frame[column] = _numbers(frame[column]) if column in frame else np.nan
        frame = frame[frame[column].notna()]
        frame = frame.astype({column: "int64" if kind == pa.int64() else "float64"})
    for column in TEXTS.get(name, ()):
        known = [isinstance(value, str) for value in frame[column]] if column in frame else []
        frame = frame[known] if known else frame.iloc[:0].assign(**{column: ""})
        frame = frame.astype({column: "string"})
    for column in frame.columns.difference([*STAMPS, *COLUMNS[name], *TEXTS.get(name, ())]):
        values = frame[column]
        is_truth = column in TRUTHS
        frame[column] = _truths(values) if is_truth else _numbers(values)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _numbers(values: pd.Series) -> pd.Series:
    """Return numbers, and NaN for whatever is none."""
    return pd.Series([value if is_number(value) else np.nan for value in values], values.index, dtype=float)


def _truths(values: pd.Series) -> pd.Series:
    """Return truths, and NA for whatever is none."""
    found = [value if isinstance(value, bool) else pd.NA for value in values]
    return pd.Series(found, values.index, dtype="boolean")


def is_number(value: object) -> bool:
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
