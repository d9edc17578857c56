"""Step "select" of the pipeline: chooses runs by query, by name, or in labelled sets."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asyncrl.errors import InputError
from asyncrl.store import query, runs, sweeps
from asyncrl.text import printable

SWEEP = "sweep:"  # before the name of a sweep, which selects all its runs


@dataclass(frozen=True)
class Selection:
    """The selection of runs on the command line."""

    results: Path
    names: tuple[str, ...] = ()  # ids, prefixes of ids, paths, "last" or "sweep:NAME"; empty: all runs in ``results``
    where: str | None = None  # conditions, as in `asyncrl ls --where`
    compare: tuple[str, ...] = ()  # sets of runs, each "label: conditions"

    @property
    def sweep_directories(self) -> list[Path]:
        """Return the directories of the sweeps that are named, each once."""
        named = (name.removeprefix(SWEEP) for name in self.names if name.startswith(SWEEP))
        found = (sweeps.find_sweep(self.results, name) for name in named)
        return list({sweep.resolve(): sweep for sweep in found}.values())

    @property
    def report_directory(self) -> Path:
        """Return where the report of this selection is written by default: in the sweep, if it is one sweep."""
        if len(self.names) == 1 and self.names[0].startswith(SWEEP):
            return sweeps.find_sweep(self.results, self.names[0].removeprefix(SWEEP)) / "report"
        return self.results / "report"

    @property
    def arguments(self) -> str:
        """Return the part of a command line that selects the same runs."""
        words = [*self.names]
        words += ["--where", self.where] if self.where else []
        words += [word for each in self.compare for word in ("--compare", each)]
        return shlex.join([*words, *(["--results", str(self.results)] if str(self.results) != "results" else [])])


class SelectedRun(NamedTuple):
    """One run of a selection."""

    path: Path
    document: Mapping[str, Any]  # run.json; only status and reason if it is damaged
    label: str | None  # of its set, if there are sets


def select_runs(selection: Selection) -> list[SelectedRun]:
    """Return the selected runs, in the order of their names, or else the last started first.

    Raises:
        InputError: a name or a condition is invalid, a set has no label, or a run is in two sets.
    """
    sets = [_parse_set(text) for text in selection.compare]
    matches = query.parse_where(selection.where)
    # A path may lead to another store, and a run may be named twice.
    named = {pair[0].resolve(): pair for name in selection.names for pair in _named(selection.results, name)}
    found = [
        pair for pair in (named.values() if selection.names else query.select(selection.results)) if matches(*pair)
    ]
    if not sets:
        return [SelectedRun(path, document, None) for path, document in found]
    labels = [[label for label, is_in_set in sets if is_in_set(*pair)] for pair in found]
    for (path, _), mine in zip(found, labels, strict=True):
        if len(mine) > 1:
            raise InputError(f"{path.name} is in two sets, {mine[0]!r} and {mine[1]!r}; a run may be in one set only.")
    return [SelectedRun(*pair, mine[0]) for pair, mine in zip(found, labels, strict=True) if mine]


def by_id(selected: Sequence[SelectedRun]) -> dict[str, SelectedRun]:
    """Return runs by id; runs of two sweeps with one name have that of their sweep before it.

    Raises:
        InputError: two runs of other directories have the same name.
    """
    often = Counter(run.path.name for run in selected)
    named: dict[str, SelectedRun] = {}
    for run in selected:
        is_shared = often[run.path.name] > 1 and sweeps.is_sweep(run.path.parent)
        name = printable(f"{run.path.parent.name}/{run.path.name}" if is_shared else run.path.name)
        if name in named:
            raise InputError(f"Two runs are named {name!r}: {named[name].path} and {run.path}.")
        named[name] = run
    return named


def _named(results: Path, name: str) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the run of a name, or the runs of ``sweep:NAME``, with their documents."""
    if name.startswith(SWEEP):
        return [*query.select(sweeps.find_sweep(results, name.removeprefix(SWEEP)))]
    run = runs.find(results, name)
    return [(run, runs.document_or_damage(run))]


def _parse_set(text: str) -> tuple[str, query.RunFilter]:
    """Parse ``LABEL: CONDITIONS``."""
    label, colon, where = (part.strip() for part in text.partition(":"))
    if not (label and colon and where):
        raise InputError(f"--compare takes 'LABEL: CONDITIONS', such as 'many threads: threads>=8'; got {text!r}.")
    return label, query.parse_where(where)
