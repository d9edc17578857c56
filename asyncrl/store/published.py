"""Published sweeps: a sweep as four Parquet tables, small enough for a repository, read like a directory of runs.

``runs.parquet`` has one row a run; evaluations, metrics and episodes refer to it by the column ``run``. The command
``asyncrl export --compact`` writes them. They may come from other people, so that sizes and types are checked.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncrl.errors import InputError, requires_extra
from asyncrl.store.document import FORMAT, MAX_COUNT, MAX_TEXT, PROGRESS_COLUMNS, WALL, Status, shortened, valid_fields
from asyncrl.store.json_text import parse
from asyncrl.store.sweeps import PUBLISHED
from asyncrl.system.files import read_regular
from asyncrl.text import printable

with requires_extra("analysis", "A published sweep"):
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

MAX_BYTES = 256 << 20  # of a file
MAX_UNCOMPRESSED = 2 << 30  # bytes of a table
MAX_ROWS = 20_000_000
MAX_NAME = 255  # characters of an id
COUNTERS = {"frames": pa.int64(), "steps": pa.int64(), "updates": pa.int64(), "seconds": pa.float64()}
REQUIRED = {"evaluations": ("mean",), "metrics": ("frames_per_second",), "episodes": ("score",)}
TEXTS = ("run", "kind", "protocol")  # columns of rows that are texts; all others are numbers
PROVENANCE = ("cpu", "cores", "usable_cores", "compiled", "commit", "dirty", "platform", "started")
VERSIONS = ("asyncrl", "python", "torch", "numpy", "gymnasium", "ale-py")
BOOLEANS = {"True": True, "False": False}  # a column with missing values has texts

Documents = list[tuple[Path, dict[str, Any]]]


def documents(folder: Path) -> Documents:
    """Return the runs of a published sweep, each with its document, as ``query.select`` does.

    A run whose document is damaged has the status ``damaged`` and the reason; so has the one run that stands for a
    file that cannot be read.
    """
    file = folder / PUBLISHED
    try:
        table = _read(file)
        columns = [name for name in table.column_names if not _is_nested(table[name].type)]
        rows = table.select(columns).to_pylist()
        names = [row.get("id") for row in rows]
        if len(set(map(str, names))) < len(names) or not all(map(_is_name, names)):
            raise InputError(f"{file} is damaged: its runs have no ids, or an id twice.")
    except InputError as error:
        return [(file, {"status": Status.DAMAGED, "reason": str(error)})]
    return [(folder / row["id"], _document_or_damage(file, row)) for row in rows]


def means(folder: Path) -> dict[str, list[float]]:
    """Return the mean scores of the evaluations of each run, in their order; empty if the file cannot be read."""
    try:
        found, _ = rows(folder, "evaluations")
    except InputError:
        return {}
    return {run: table["mean"].to_pylist() for run, table in found.items()}


def rows(folder: Path, name: str) -> tuple[dict[str, pa.Table], int]:
    """Return the rows of ``evaluations``, ``metrics`` or ``episodes`` of each run, and how many were damaged.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    file = folder / f"{name}.parquet"
    table = _read(file)
    needed = COUNTERS | dict.fromkeys(REQUIRED[name], pa.float64())
    columns = {"run": _texts(file, table, "run")}
    for column in table.column_names:
        kind = table[column].type
        if column in needed:
            columns[column] = _cast(file, table, column, needed[column])
        elif column in TEXTS:
            columns[column] = _texts(file, table, column)
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            columns[printable(column)] = table[column].cast(pa.float64())
        elif pa.types.is_boolean(kind):
            columns[printable(column)] = table[column]
    if missing := [column for column in needed if column not in columns]:
        raise InputError(f"{file} is damaged: it has no column {missing[0]!r}.")
    whole = pa.table(columns)
    valid = pc.is_valid(whole["run"])
    for column in needed:
        valid = pc.and_(valid, pc.is_valid(whole[column]))
    for column, kind in COUNTERS.items():
        most = float(MAX_COUNT) if pa.types.is_floating(kind) else MAX_COUNT
        inside = pc.and_(pc.greater_equal(whole[column], 0), pc.less(whole[column], most))
        valid = pc.and_(valid, pc.fill_null(inside, False))
    kept = whole.filter(valid)
    return _by_run(kept), len(whole) - len(kept)


def _by_run(table: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each run, in their order."""
    encoded = table["run"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = table.drop_columns("run").take(pa.array(order)).combine_chunks()
    starts = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    names = encoded.dictionary.to_pylist()
    return {run: ordered.slice(starts[i], starts[i + 1] - starts[i]) for i, run in enumerate(names)}


def _read(file: Path) -> pa.Table:
    """Read a Parquet file of bounded size; raise InputError where it is missing, foreign or damaged."""
    try:
        parquet = pyarrow.parquet.ParquetFile(pa.BufferReader(read_regular(file, MAX_BYTES)))
        groups = (parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        if parquet.metadata.num_rows > MAX_ROWS or size > MAX_UNCOMPRESSED:
            raise InputError(f"{file} is too large: {parquet.metadata.num_rows:,} rows, {size:,} bytes.")
        if len(set(parquet.schema_arrow.names)) < len(parquet.schema_arrow.names):
            raise InputError(f"{file} is damaged: it has a column twice.")
        return parquet.read()
    except FileNotFoundError:
        raise InputError(f"There is no {file}: the published sweep is not complete.") from None
    # ArrowInvalid is a ValueError, and some damage ends in an OSError without a number.
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise InputError(f"Cannot read {file}: {shortened(_reason(error), 200)}.") from None


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(printable(text).split()).rstrip(".")


def _cast(file: Path, table: pa.Table, column: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return table[column].cast(kind)
    except pa.ArrowException:
        raise InputError(f"{file} is damaged: {column} is {table[column].type}, and should be {kind}.") from None


def _texts(file: Path, table: pa.Table, column: str) -> pa.ChunkedArray:
    """Return a column of texts; they are printable, and no longer than a name may be."""
    if column not in table.column_names:
        raise InputError(f"{file} is damaged: it has no column {column!r}.")
    kind = table[column].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise InputError(f"{file} is damaged: {column} is {kind}, and should be string.")
    encoded = table[column].combine_chunks().cast(pa.string()).dictionary_encode()
    known = [text and shortened(printable(text), MAX_TEXT) for text in encoded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(known, pa.string()).take(encoded.indices)])


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_name(name: object) -> bool:
    is_text = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    return is_text and "/" not in str(name) and name not in (".", "..")


def _document_or_damage(file: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    if row.get("status") == Status.DAMAGED:
        return {"status": Status.DAMAGED, "reason": str(row.get("reason"))}
    try:
        return valid_fields(_document(row), f"{file}, run {row['id']}")
    except (InputError, ValueError) as error:
        reason = str(error) if isinstance(error, InputError) else f"{file}, run {row['id']} is damaged: {error}."
        return {"status": Status.DAMAGED, "reason": reason}


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a run, from the columns that ``analysis.load`` made of it."""
    known = {name: _plain(value) for name, value in row.items()}
    known = {name: value for name, value in known.items() if value is not None}
    setting = parse(str(known.get("setting", "")).encode())
    if not (isinstance(setting, list) and setting and isinstance(setting[0], dict)):
        raise ValueError("its setting is no JSON of its settings")
    progress = {name: known[name] for name in PROGRESS_COLUMNS if name in known}
    return {
        "format": FORMAT,
        "id": row["id"],
        "config": setting[0] | {name: known[name] for name in ("env", "seed") if name in known},
        "provenance": {name: known[name] for name in PROVENANCE if name in known}
        | {"versions": {name: known[name] for name in VERSIONS if name in known}},
        **{name: known[name] for name in ("protocol", "frames_per_step", "status", "reason", "turns") if name in known},
        **progress,
        "seconds": float(str(progress.get("seconds", 0.0))),
        "clock": known.get("clock", WALL),
        "problems": known.get("problems", "[]"),
    }


def _plain(value: object) -> object:
    """Return a cell of ``runs.parquet`` as in a document: whole numbers are integers, and a missing one is None."""
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return BOOLEANS.get(value, value) if isinstance(value, str) else value
