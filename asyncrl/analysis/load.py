"""A store of runs as tidy tables: one row a run, and rows that belong to a run by its id."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from asyncrl.analysis import cache
from asyncrl.analysis.reference_data import game
from asyncrl.analysis.selection import Chosen, Selection, choose, without_document
from asyncrl.envs.names import atari_protocol
from asyncrl.errors import InputError
from asyncrl.text import counted

TABLES = ("evaluations", "metrics", "episodes", "failures")
SETTINGS = ("algo", "env", "network", "initial_weights", "threads", "envs_per_thread", "t_max", "gamma", "seed")
MADE_BY = ("cpu", "cores", "usable_cores", "compiled", "commit", "dirty", "platform", "started")
COUNTS = ("frames", "steps", "updates", "seconds")
NUMBERS = (
    *COUNTS, "threads", "envs_per_thread", "t_max", "gamma", "lr", "budget", "cores", "usable_cores",
    "frames_per_step",
)  # fmt: skip
NO_SETTING = ("seed", "log_seconds", "profile", "checkpoints", "workers")  # runs that differ in these are alike
EXTRA = {"evaluations": ("kind", "protocol", "episodes", "median", "std"), "failures": ("worker", "reason")}
UNFINISHED = {"running": "it is still being trained", "interrupted": "it was stopped before its end"}

Problem = dict[str, str]


class Store(NamedTuple):
    """What was read.

    ``runs`` has one row a run, indexed by id: settings, counts, what made it, status. The other tables have a column
    ``run`` with that id; those that were not asked for are empty. ``problems`` names what was left out, and why.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    metrics: pd.DataFrame
    episodes: pd.DataFrame
    failures: pd.DataFrame
    problems: pd.DataFrame  # columns run, kind, text


def load(selection: Selection, tables: Sequence[str] = TABLES, thin: int | None = None) -> Store:
    """Read a selection of runs.

    Args:
        selection: which ones.
        tables: which rows to read.
        thin: at most so many rows of metrics a run, each the mean of a block of them.

    Raises:
        InputError: a name or a condition of the selection is none.
    """
    chosen = _unique(choose(selection))
    problems = [
        {"run": path.name, "kind": "damaged", "text": "run.json is missing: nothing is known of it"}
        for path in ([] if selection.names else without_document(selection.results))
    ]
    runs = pd.DataFrame([_describe(run, problems) for run in chosen.values()] or None, columns=_columns(chosen))
    runs = runs.set_index("id", drop=False).rename_axis(None)
    runs = runs.astype(dict.fromkeys(NUMBERS, float) | {"seed": "Int64"})  # 2**60 and 2**60 + 1 are two seeds
    read = {name: _rows(chosen, runs, name, thin, problems) if name in tables else _nothing(name) for name in TABLES}
    for name in COUNTS:  # a run that goes on, or was cut off, is further than its document
        reached = read["metrics"].groupby("run", observed=True)[name].max().reindex(runs.index)
        runs[name] = np.fmax(runs[name], reached.where(runs["status"].isin(("running", "crashed"))).astype(float))
    return Store(runs, **read, problems=pd.DataFrame(problems, columns=["run", "kind", "text"]))


def _unique(chosen: Iterable[Chosen]) -> dict[str, Chosen]:
    named: dict[str, Chosen] = {}
    for run in chosen:
        if run.path.name in named:
            raise InputError(f"Two runs are named {run.path.name!r}: {named[run.path.name].path} and {run.path}.")
        named[run.path.name] = run
    return named


def _columns(chosen: Mapping[str, Chosen]) -> list[str] | None:
    return None if chosen else list(_describe(Chosen(Path(), {"status": "finished"}, None), []))


def _describe(run: Chosen, problems: list[Problem]) -> dict[str, Any]:
    """Return one row of ``runs``; what a damaged document does not say is None."""
    document = run.document
    config, made = _table(document, "config"), _table(document, "provenance")
    optimizer, versions = _table(config, "optimizer"), _table(made, "versions")
    status, reason = _status(run, problems)
    protocol, env = _plain(document.get("protocol")), config.get("env")
    played = game(env) if isinstance(env, str) else None
    alike = {name: value for name, value in config.items() if name not in NO_SETTING} | {"env": played}
    described = {
        "id": run.path.name,
        "set": run.label,
        "status": status,
        "reason": reason,
        **{name: config.get(name) for name in SETTINGS},
        "game": played,
        "protocol": protocol,
        "configured": _configured(config, protocol),
        "optimizer": optimizer.get("name"),
        "lr": optimizer.get("lr"),
        "budget": config.get("frames"),
        "frames_per_step": document.get("frames_per_step"),
        **{name: document.get(name) for name in COUNTS},
        **{name: made.get(name) for name in MADE_BY},
        **{name: versions.get(name) for name in ("asyncrl", "python", "torch", "numpy", "gymnasium", "ale-py")},
        "setting": json.dumps([alike, protocol], sort_keys=True),  # all but the seed
        "path": str(run.path),
    }
    found = {name: _number(value) if name in NUMBERS else _plain(value) for name, value in described.items()}
    return found | {"seed": _whole(described["seed"])}


def _plain(value: object) -> object:
    """Return a text or a truth, and None for what neither is, in a damaged document."""
    return value if isinstance(value, str | bool) else str(value) if isinstance(value, int | float) else None


def _number(value: object) -> float:
    """Return a number, and NaN for what is none."""
    return float(value) if cache.is_number(value) else math.nan


def _whole(value: object) -> int | None:
    """Return a whole number to its last digit, and None for what is none."""
    return value if cache.is_number(value) and isinstance(value, int) else None


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = table.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _configured(config: Mapping[str, Any], protocol: object) -> object:
    """Return the protocol that the settings of an Atari run come to; elsewhere, the one it has."""
    atari = _table(config, "atari")
    if not (isinstance(protocol, str) and protocol.startswith("atari") and atari):
        return protocol
    return atari_protocol(atari.get("protocol"), atari.get("noops"))


def _status(run: Chosen, problems: list[Problem]) -> tuple[str, str | None]:
    """Return a run's status and the reason for it; name those that are not finished."""
    status, reason = str(run.document.get("status")), run.document.get("reason")
    if status != "finished":
        kind = status if status in ("running", "interrupted", "failed", "crashed") else "damaged"
        problems.append({"run": run.path.name, "kind": kind, "text": str(reason or UNFINISHED.get(kind, "no status"))})
    return status, None if reason is None else str(reason)


def _rows(
    chosen: Mapping[str, Chosen], runs: pd.DataFrame, name: str, thin: int | None, problems: list[Problem]
) -> pd.DataFrame:
    """Return one table of all runs; read one run at a time, since a store may be larger than memory allows twice."""
    tables = []
    for run, (path, _, _) in chosen.items():
        status = runs.at[run, "status"]
        if status == "damaged":
            continue
        found = cache.rows(path, name, status == "finished")
        if found.damaged:
            text = f"left out: {counted(found.damaged, 'damaged row')} of {name}.jsonl"
            problems.append({"run": run, "kind": "rows", "text": text})
        if found.is_half_written and status != "running":
            problems.append({"run": run, "kind": "rows", "text": f"the last row of {name}.jsonl is half written"})
        table = _thinned(found.table, thin) if name == "metrics" and thin else found.table
        ids = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), [run])
        tables.append(table.append_column("run", ids))
    if not tables:
        return _nothing(name)
    joined = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    for i, column in enumerate(joined.schema):
        if pa.types.is_null(column.type):  # such as ε of a policy method
            joined = joined.set_column(i, column.name, joined[column.name].cast(pa.float64()))
    for column in EXTRA.get(name, ()):  # where no run has a row, nothing says that there are such columns
        if column not in joined.column_names:
            joined = joined.append_column(column, pa.nulls(len(joined), pa.float64()))
    return joined.to_pandas(split_blocks=True, self_destruct=True)


def _nothing(name: str) -> pd.DataFrame:
    columns = (*cache.STAMPS, *cache.COLUMNS[name], *EXTRA.get(name, ()))
    return pd.DataFrame({column: pd.Series(dtype=float) for column in columns} | {"run": pd.Series(dtype="category")})


def _thinned(table: pa.Table, rows: int) -> pa.Table:
    """Average blocks of rows, leaving out what is missing; the stamps of a block are those of its last row."""
    if len(table) <= rows:
        return table
    starts = np.ceil(np.arange(rows) * len(table) / rows).astype(int)
    ends = np.append(starts[1:], len(table)) - 1
    columns = {}
    for name in table.column_names:
        kind = table[name].type
        if name in cache.STAMPS:
            columns[name] = table[name].to_numpy()[ends]
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = table[name].to_numpy().astype(float)
            known = np.isfinite(values)
            sums = np.add.reduceat(np.where(known, values, 0.0), starts)
            counts = np.add.reduceat(known.astype(float), starts)
            columns[name] = np.divide(sums, counts, out=np.full(rows, np.nan), where=counts > 0)
    return pa.table(columns)
