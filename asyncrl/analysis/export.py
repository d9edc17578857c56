"""Writes the tables of ``load`` as flat files, Parquet or CSV, for other tools; all CSV of the package is made here."""

from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from asyncrl.analysis import cache
from asyncrl.analysis.load import RunTables, load
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.atomic import make_directory, replace_file
from asyncrl.store.query import no_runs_text
from asyncrl.store.runs import list_runs
from asyncrl.store.sweeps import list_sweeps
from asyncrl.text import printable

SHOWN_SWEEPS = 5  # in a message
FORMATS = ("parquet", "csv")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # of a cell, for spreadsheets


def export(selection: Selection, out: Path, file_format: str) -> list[tuple[Path, int]]:
    """Write runs, evaluations, metrics, episodes, failures and problems; return each file with its number of rows.

    Raises:
        InputError: no run is selected, or ``out`` cannot be written to.
    """
    if file_format not in FORMATS:
        raise InputError(f"--format is {' or '.join(FORMATS)}; got {file_format!r}.")
    store = load(selection)
    if store.runs.empty:
        raise InputError(empty_selection_message(selection))
    try:
        make_directory(out)
        return [_write(out / f"{name}.{file_format}", getattr(store, name)) for name in RunTables._fields]
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from None


def empty_selection_message(selection: Selection) -> str:
    """Return one line that says why no run is selected."""
    wanted = [f"has {selection.where}"] if selection.where else []
    wanted += ["is in " + " or ".join(map(repr, selection.compare))] if selection.compare else []
    if wanted:
        place = "that was named" if selection.names else f"in {selection.results}"
        return f"No run {place} {' and '.join(wanted)}."
    if selection.names:
        return f"{' and '.join(selection.names)}: no run yet. The sweep is trained with asyncrl sweep FILE."
    if (sweeps := list_sweeps(selection.results)) and not list_runs(selection.results):
        names = ", ".join(f"sweep:{printable(sweep.name)}" for sweep in sweeps[:SHOWN_SWEEPS])
        return f"All runs in {selection.results} are in sweeps, which must be named: {names}."
    return no_runs_text(selection.results)


def csv_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a table as CSV that a spreadsheet opens as data.

    A text that a spreadsheet would run as a formula begins with an apostrophe; numbers stay numbers. Characters that
    cannot be encoded are escaped. A missing value is an empty cell.
    """
    texts = [i for i, kind in enumerate(table.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
    columns = [(name, table.iloc[:, i].map(_cell) if i in texts else table.iloc[:, i]) for i, name in enumerate(table)]
    cells = pd.concat([column.rename(str(_cell(name))) for name, column in columns], axis=1) if columns else table
    return str(cells.to_csv(index=False, float_format=float_format))


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def _write(file: Path, table: pd.DataFrame) -> tuple[Path, int]:
    if file.suffix == ".csv":
        # Never missing: NaN is a value here.
        required = _required(file.stem, table)
        shown = table.assign(
            **{name: table[name].astype(object).where(table[name].notna(), "nan") for name in required}
        )
        replace_file(file, csv_text(shown).encode())
        return file, len(table)
    data = BytesIO()
    pyarrow.parquet.write_table(arrow_table(file.stem, table), data)
    replace_file(file, data.getvalue())
    return file, len(table)


def _required(name: str, table: pd.DataFrame) -> list[str]:
    """Return the numbers that each row of a table has, and that may be NaN."""
    known = (column for column in cache.NUMBER_COLUMNS.get(name, {}) if column in table)
    return [column for column in known if pd.api.types.is_float_dtype(table[column])]


def arrow_table(name: str, table: pd.DataFrame) -> pa.Table:
    """Return one of the tables with a type for each column, as Parquet needs it, also where values are missing."""
    mixed = [column for column in table if pd.api.types.is_object_dtype(table[column])]
    texts = {column: table[column].map(lambda value: printable(str(value)), na_action="ignore") for column in mixed}
    arrow = pa.Table.from_pandas(table.assign(**texts).astype(dict.fromkeys(mixed, "string")), preserve_index=False)
    for column in _required(name, table):
        values = pa.array(table[column].to_numpy(float), pa.float64(), from_pandas=False)
        arrow = arrow.set_column(arrow.column_names.index(column), column, values)
    return arrow
