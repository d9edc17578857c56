"""Writes the tables of ``load`` as flat files, Parquet or CSV, for other tools."""

from pathlib import Path

import pandas as pd

from asyncrl.analysis.load import RunTables, load
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.query import no_runs_text

FORMATS = ("parquet", "csv")


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
        out.mkdir(parents=True, exist_ok=True)
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
    return no_runs_text(selection.results)


def _write(file: Path, table: pd.DataFrame) -> tuple[Path, int]:
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    else:
        mixed = [name for name in table if pd.api.types.is_object_dtype(table[name])]
        # Parquet needs one type per column, also if values are missing
        table = table.astype(dict.fromkeys(mixed, "string"))
        table.to_parquet(file, index=False)
    return file, len(table)
