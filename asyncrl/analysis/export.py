"""A selection of runs as five flat files, Parquet or CSV, for whatever else one has."""

from pathlib import Path

import pandas as pd

from asyncrl.analysis.load import Store, load
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.query import no_runs_text

FORMATS = ("parquet", "csv")


def export(selection: Selection, out: Path, form: str) -> list[tuple[Path, int]]:
    """Write runs, evaluations, metrics, episodes, failures and problems; return each file with its number of rows.

    Raises:
        InputError: nothing is selected, or nothing can be written there.
    """
    if form not in FORMATS:
        raise InputError(f"--format is {' or '.join(FORMATS)}; got {form!r}.")
    store = load(selection)
    if store.runs.empty:
        raise InputError(nothing_selected(selection))
    try:
        out.mkdir(parents=True, exist_ok=True)
        return [_write(out / f"{name}.{form}", getattr(store, name)) for name in Store._fields]
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from None


def nothing_selected(selection: Selection) -> str:
    """Say in one line why there is nothing to work on, and what would be."""
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
        table = table.astype(dict.fromkeys(mixed, "string"))  # a column of texts and gaps has one type in Parquet
        table.to_parquet(file, index=False)
    return file, len(table)
