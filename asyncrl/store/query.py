"""Selects runs by conditions on their settings, id and status, such as ``algo=a3c and threads>=4``."""

import json
import operator
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asyncrl.config import field_names, flatten, is_setting
from asyncrl.envs.names import game_key
from asyncrl.errors import InputError, nearest
from asyncrl.setting_types import parse_frames
from asyncrl.store.document import Status
from asyncrl.store.runs import document_or_damage, list_runs, runs_without_document
from asyncrl.store.sweeps import is_published

RunFilter = Callable[[Path, Mapping[str, Any]], bool]  # takes a run and its document
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
EQUALITIES = ("=", "==", "!=")  # the operators that take text, too


def select(root: Path, where: str | None = None) -> list[tuple[Path, dict[str, Any]]]:
    """Return the runs that fulfil the conditions, with their documents; the last started first.

    The document of a damaged run holds the status ``damaged`` and the reason. Runs without run.json are at the end.

    Args:
        root: the directory of runs.
        where: conditions on settings, ``id`` and ``status``, such as ``algo=a3c and optimizer.lr>=1e-4``; None: all.
    """
    fulfils, selected = parse_where(where), []
    if is_published(root):
        from asyncrl.store import published

        return [pair for pair in published.documents(root) if fulfils(*pair)]
    for run in [*list_runs(root), *runs_without_document(root)]:
        document = document_or_damage(run)
        # A run that was removed in this moment is not a damaged one.
        if document.get("status") == Status.DAMAGED and not os.path.isdir(run):
            continue
        if fulfils(run, document):
            selected.append((run, document))
    return selected


def parse_where(where: str | None) -> RunFilter:
    """Return a function that tests whether a run fulfils the conditions; see ``select``."""
    conditions = [_parse_condition(text) for text in re.split(r"\s+and\s+", where.strip())] if where else []

    def fulfils(run: Path, document: Mapping[str, Any]) -> bool:
        values = flatten(document.get("config", {})) | {"id": run.name, "status": document.get("status")}
        return all(condition(values) for condition in conditions)

    return fulfils


def no_runs_text(root: Path, where: str | None = None) -> str:
    """Return the message for an empty selection."""
    return f"No run in {root} has {where}." if where else f"There are no runs in {root} yet. Start one: asyncrl run"


def _parse_condition(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return ``name=value``, or another comparison, as a function of a run's values by name."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(==|!=|>=|<=|=|>|<)\s*([^\s<>=!]\S*)\s*", text)
    if not match:
        raise InputError(f"--where takes conditions such as 'algo=a3c and threads>=4'; got {text!r}.")
    name, symbol, wanted = match.groups()
    known = [*field_names(), "id", "status"]
    if not (name in known or is_setting(name)):
        raise InputError(f"There is no setting {name!r}.{nearest(name, known)}")
    number = _number(wanted)
    if number is None and symbol not in EQUALITIES:
        raise InputError(f"{name}{symbol}{wanted} needs a number, such as 4, 1e-3 or 10M.")

    def holds(values: Mapping[str, Any]) -> bool:
        actual = values.get(name)
        if number is not None and isinstance(actual, int | float):
            return OPERATORS[symbol](actual, number)
        written = actual if isinstance(actual, str) else json.dumps(actual)
        same = game_key(wanted) == game_key(written) if name == "env" else wanted == written
        return symbol in EQUALITIES and same == (symbol != "!=")

    return holds


def _number(text: str) -> float | None:
    try:
        return float(parse_frames(text))  # type: ignore[arg-type]  # a str or a number
    except ValueError:
        return None
