"""Writes a sweep as a published one, and reads its rows for ``load``; the files are read by ``store.published``."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from asyncrl.analysis.downsampling import COMPACT_ROWS, binned
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.atomic import make_directory, replace_file
from asyncrl.store.document import DOCUMENT, MAX_LONG_TEXT, Status, shortened
from asyncrl.store.json_text import parse
from asyncrl.store.sweeps import DECLARATION
from asyncrl.text import counted, one_line, printable

TABLES = ("evaluations", "metrics", "episodes")
OF_RUN = ("env", "algo", "threads", "clock", "preset")  # columns of runs that every table has
KEPT_PROBLEMS = ("rows", "not finite")  # of load, which averaged rows no longer show


class Sources:
    """The rows of one table of all published sweeps of a selection; each file is read once."""

    def __init__(self, name: str, problems: list[dict[str, str]]) -> None:
        """Take the name of the table, and the list to which damage is added."""
        self._name, self._problems = name, problems
        self._read: dict[Path, Mapping[str, pa.Table]] = {}

    def rows(self, run: Path) -> pa.Table | None:
        """Return the rows of a run; None if it has none, as all runs have no failures."""
        if self._name not in TABLES:
            return None
        folder = run.parent
        if folder not in self._read:
            self._read[folder] = self._read_file(folder)
        return self._read[folder].get(run.name)

    def _read_file(self, folder: Path) -> Mapping[str, pa.Table]:
        from asyncrl.store import published

        try:
            found, damaged = published.rows(folder, self._name)
        except InputError as error:
            self._add(folder, "damaged", str(error))
            return {}
        if damaged:
            self._add(folder, "rows", f"excluded: {counted(damaged, 'damaged row')} of {self._name}.parquet")
        return found

    def _add(self, folder: Path, kind: str, text: str) -> None:
        self._problems.append({"run": printable(folder.name), "kind": kind, "text": one_line(text)})


def problems(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of what was excluded from a table of a run when its sweep was published."""
    try:
        found = parse(str(document.get("problems", "[]")).encode())
    except ValueError:
        return
    for each in found if isinstance(found, list) else []:
        if isinstance(each, list) and len(each) == 2 and each[0] in KEPT_PROBLEMS and f"{name}.jsonl" in str(each[1]):
            yield each[0], one_line(printable(shortened(str(each[1]), MAX_LONG_TEXT)))


def publish(selection: Selection, out: Path) -> list[tuple[Path, int]]:
    """Write runs, evaluations, metrics and episodes of a selection; return each file with its number of rows.

    Metrics are averaged to at most ``COMPACT_ROWS`` rows a run, episodes to at most as many bins of equal frames.

    Raises:
        InputError: no run is selected, one is still running, or ``out`` cannot be written to.
    """
    from asyncrl.analysis.export import arrow_table, empty_selection_message
    from asyncrl.analysis.load import load

    for name, what in ((DOCUMENT, "a run"), (DECLARATION, "the directory of a sweep")):
        if (out / name).exists():
            raise InputError(f"{out} is {what}; choose another directory with --out.")
    store = load(selection, TABLES, COMPACT_ROWS)
    if store.runs.empty:
        raise InputError(empty_selection_message(selection))
    running = store.runs.index[store.runs["status"] == Status.RUNNING]
    if len(running):
        raise InputError(f"{counted(len(running), 'run')} still running, such as {running[0]}: publish it later.")
    # An id is the name of a directory when it is read.
    ids = {run: str(run).replace("/", "-") for run in store.runs.index}
    runs = store.runs.assign(path=store.runs["id"].map(ids), problems=_problems_of(store.runs, store.problems))
    runs["id"] = runs["path"]
    tables = {"runs": runs, "evaluations": store.evaluations, "metrics": store.metrics}
    tables["episodes"] = binned(store.episodes)
    files = []
    for name in (*TABLES, "runs"):
        table = tables[name] if name == "runs" else _with_columns_of_run(tables[name], store.runs, ids)
        data = BytesIO()
        pyarrow.parquet.write_table(arrow_table(name, table), data, compression="zstd")
        files.append((out / f"{name}.parquet", len(table), data.getvalue()))
    try:
        make_directory(out)
        # runs.parquet, which marks a published sweep, is the last.
        for file, _, written in files:
            replace_file(file, written)
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from None
    return [(file, rows) for file, rows, _ in files]


def _problems_of(runs: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    kept = found[found["kind"].isin(KEPT_PROBLEMS)]
    by_run = {run: rows[["kind", "text"]].to_numpy().tolist() for run, rows in kept.groupby("run")}
    return [json.dumps(by_run.get(run, [])) for run in runs.index]


def _with_columns_of_run(table: pd.DataFrame, runs: pd.DataFrame, ids: Mapping[Any, str]) -> pd.DataFrame:
    run = table["run"].astype(object)
    return table.assign(run=run.map(ids), id=run.map(ids), **{name: run.map(runs[name]) for name in OF_RUN})
