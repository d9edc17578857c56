"""Step "load" of the pipeline: reads runs as tidy tables, one row per run, and rows that refer to a run by its id."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from asyncrl.analysis import cache, published
from asyncrl.analysis.downsampling import downsampled
from asyncrl.analysis.identity import identity
from asyncrl.analysis.reference_data import game
from asyncrl.analysis.selection import SelectedRun, Selection, by_id, select_runs
from asyncrl.envs.names import atari_protocol
from asyncrl.errors import InputError
from asyncrl.store.columns import is_number
from asyncrl.store.document import PROGRESS_COLUMNS, WALL, Status
from asyncrl.store.sweeps import is_published
from asyncrl.text import counted, one_line, printable

TABLES = ("evaluations", "metrics", "episodes", "failures")
SETTINGS = ("algo", "env", "network", "initial_weights", "threads", "envs_per_thread", "t_max", "gamma", "seed")
PROVENANCE = ("cpu", "cores", "usable_cores", "compiled", "commit", "dirty", "platform", "started")
NUMBER_COLUMNS = (
    *PROGRESS_COLUMNS, "threads", "envs_per_thread", "t_max", "gamma", "lr", "budget", "cores", "usable_cores",
    "frames_per_step",
)  # fmt: skip
OPTIONAL_COLUMNS = {"evaluations": ("kind", "protocol", "episodes", "median", "std"), "failures": ("worker", "reason")}
UNFINISHED: dict[str, str] = {
    Status.RUNNING: "training is still running",
    Status.INTERRUPTED: "training was stopped before the end",
}

Problem = dict[str, str]


class RunTables(NamedTuple):
    """The tables of a selection of runs.

    ``runs`` has one row per run, indexed by id: settings, counters, provenance, status. The other tables have a column
    ``run`` with that id; tables that were not requested are empty. ``problems`` lists excluded data with the reason.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    metrics: pd.DataFrame
    episodes: pd.DataFrame
    failures: pd.DataFrame
    problems: pd.DataFrame  # columns run, kind, text


def load(selection: Selection, tables: Sequence[str] = TABLES, max_metric_rows: int | None = None) -> RunTables:
    """Read a selection of runs.

    Args:
        selection: the runs to read.
        tables: names of the tables of rows to read.
        max_metric_rows: per run; more rows of metrics are averaged in blocks. None: no limit.

    Raises:
        InputError: a name or a condition of the selection is invalid.
    """
    selected = by_id(select_runs(selection))
    problems: list[Problem] = []
    rows = [_run_row(name, run, problems) for name, run in selected.items()]
    runs = pd.DataFrame(rows or None, columns=_columns(selected))
    runs = runs.set_index("id", drop=False).rename_axis(None)
    # as floats, the seeds 2**60 and 2**60 + 1 would be equal
    runs = runs.astype(dict.fromkeys(NUMBER_COLUMNS, float) | {"seed": "Int64"})
    read = {
        name: _read_table(selected, runs, name, max_metric_rows, problems) if name in tables else _empty_table(name)
        for name in TABLES
    }
    # run.json of a running or crashed run is older than its rows
    for name in PROGRESS_COLUMNS:
        reached = read["metrics"].groupby("run", observed=True)[name].max().reindex(runs.index)
        is_open = runs["status"].isin((Status.RUNNING, Status.CRASHED))
        runs[name] = np.fmax(runs[name], reached.where(is_open).astype(float))
    return RunTables(runs, **read, problems=pd.DataFrame(problems, columns=["run", "kind", "text"]))


def _columns(selected: Mapping[str, SelectedRun]) -> list[str] | None:
    return None if selected else list(_run_row("", SelectedRun(Path(), {"status": Status.FINISHED}, None), []))


def _run_row(name: str, run: SelectedRun, problems: list[Problem]) -> dict[str, Any]:
    """Return one row of ``runs``; values that a damaged document lacks are None."""
    document = run.document
    config, provenance = _mapping(document, "config"), _mapping(document, "provenance")
    optimizer, versions = _mapping(config, "optimizer"), _mapping(provenance, "versions")
    status, reason = _status(name, run, problems)
    protocol, env = _text_or_bool(document.get("protocol")), config.get("env")
    game_name = game(env) if isinstance(env, str) else None
    setting = identity(config, document) | {"env": game_name}
    described = {
        "id": name,
        "set": run.label,
        "status": status,
        "reason": reason,
        **{name: config.get(name) for name in SETTINGS},
        "preset": config.get("preset"),
        "clock": clock if isinstance(clock := document.get("clock"), str) else WALL,
        "turns": document.get("turns"),
        "game": game_name,
        "protocol": protocol,
        "configured": _configured_protocol(config, protocol),
        "optimizer": optimizer.get("name"),
        "lr": optimizer.get("lr"),
        "budget": config.get("frames"),
        "frames_per_step": document.get("frames_per_step"),
        **{name: document.get(name) for name in PROGRESS_COLUMNS},
        **{name: provenance.get(name) for name in PROVENANCE},
        **{name: versions.get(name) for name in ("asyncrl", "python", "torch", "numpy", "gymnasium", "ale-py")},
        "setting": json.dumps([setting, protocol], sort_keys=True),  # all but the seed
        "path": str(run.path),
    }
    found = {
        name: _number(value) if name in NUMBER_COLUMNS else _text_or_bool(value) for name, value in described.items()
    }
    return found | {"seed": _integer(described["seed"])}


def _text_or_bool(value: object) -> object:
    """Return a printable text, a boolean as it is, a number as text, and None for another value, which is damage."""
    if isinstance(value, bool):
        return value
    return printable(str(value)) if isinstance(value, str | int | float) else None


def _number(value: object) -> float:
    """Return a number, or NaN for any other value."""
    return float(value) if is_number(value) else math.nan


def _integer(value: object) -> int | None:
    """Return an integer without rounding, or None for any other value."""
    return value if is_number(value) and isinstance(value, int) else None


def _mapping(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an inner table of a document, empty if it is damaged."""
    inner = table.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _configured_protocol(config: Mapping[str, Any], protocol: object) -> object:
    """Return the protocol that the settings of an Atari run imply; for other runs, the recorded one."""
    atari = _mapping(config, "atari")
    if not (isinstance(protocol, str) and protocol.startswith("atari") and atari):
        return protocol
    return atari_protocol(atari.get("protocol"), atari.get("noops"), atari.get("frame_size", 84))


def _status(name: str, run: SelectedRun, problems: list[Problem]) -> tuple[str, str | None]:
    """Return the status of a run and its reason; record a problem if the run is not finished."""
    status, reason = str(run.document.get("status")), run.document.get("reason")
    if status != Status.FINISHED:
        kind = status if status in tuple(Status) else Status.DAMAGED.value
        text = one_line(str(reason or UNFINISHED.get(kind, "no status")))
        problems.append({"run": name, "kind": kind, "text": text})
    return status, None if reason is None else one_line(str(reason))


def _read_table(
    selected: Mapping[str, SelectedRun],
    runs: pd.DataFrame,
    name: str,
    max_metric_rows: int | None,
    problems: list[Problem],
) -> pd.DataFrame:
    """Return one table of all runs. Runs are read one at a time, since two copies of all rows may not fit in memory."""
    tables = []
    sources = published.Sources(name, problems)
    for run, (path, document, _) in selected.items():
        status = runs.at[run, "status"]
        if status == Status.DAMAGED:
            continue
        if is_published(path.parent):
            table = sources.rows(path)
            problems.extend(
                {"run": run, "kind": kind, "text": text} for kind, text in published.problems(document, name)
            )
            tables += [] if table is None else [_with_run(table, run)]
            continue
        try:
            found = cache.cached_rows(path, name, status == Status.FINISHED)
        # The file was replaced after the run was selected.
        except InputError as error:
            problems.append({"run": run, "kind": "damaged", "text": str(error)})
            continue
        if found.damaged:
            text = f"excluded: {counted(found.damaged, 'damaged row')} of {name}.jsonl"
            problems.append({"run": run, "kind": "rows", "text": text})
        if found.is_truncated and status != Status.RUNNING:
            problems.append({"run": run, "kind": "rows", "text": f"the last row of {name}.jsonl is incomplete"})
        problems.extend({"run": run, "kind": "not finite", "text": text} for text in _not_finite(found.table, name))
        table = downsampled(found.table, max_metric_rows) if name == "metrics" and max_metric_rows else found.table
        tables.append(_with_run(table, run))
    if not tables:
        return _empty_table(name)
    joined = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    for i, column in enumerate(joined.schema):
        # a column without any value, such as ε of a policy method
        if pa.types.is_null(column.type):
            joined = joined.set_column(i, column.name, joined[column.name].cast(pa.float64()))
    for column in OPTIONAL_COLUMNS.get(name, ()):
        if column not in joined.column_names:
            joined = joined.append_column(column, pa.nulls(len(joined), pa.float64()))
    return joined.to_pandas(split_blocks=True, self_destruct=True)


def _with_run(table: pa.Table, run: str) -> pa.Table:
    return table.append_column("run", pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), [run]))


def _not_finite(table: pa.Table, name: str) -> Iterator[str]:
    """Describe the numbers of metrics and episodes that are NaN or infinite; ``validity`` describes evaluations."""
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)] if name != "evaluations" else []
    for column in floats:
        values = table[column].combine_chunks()
        bad = pc.invert(pc.is_finite(values.drop_null()))
        if count := pc.sum(bad).as_py():
            yield f"{counted(count, 'row')} of {len(table):,} in {name}.jsonl have a {column} that is NaN or infinite"


def _empty_table(name: str) -> pd.DataFrame:
    columns = (*cache.COUNTER_COLUMNS, *cache.NUMBER_COLUMNS[name], *OPTIONAL_COLUMNS.get(name, ()))
    return pd.DataFrame({column: pd.Series(dtype=float) for column in columns} | {"run": pd.Series(dtype="category")})
