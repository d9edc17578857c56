"""Which runs an analysis is of: by query, by name, or in labelled sets."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from asyncrl.errors import InputError
from asyncrl.store import query, runs
from asyncrl.store.document import DOCUMENT
from asyncrl.store.runs import LOCK


@dataclass(frozen=True)
class Selection:
    """What a person asked for on the command line."""

    results: Path
    names: tuple[str, ...] = ()  # ids, beginnings of ids, paths or "last"; none: all runs
    where: str | None = None  # conditions, as `asyncrl ls --where` takes them
    compare: tuple[str, ...] = ()  # sets of runs, each "label: conditions"

    @property
    def arguments(self) -> str:
        """Return the part of a command line that selects the same again."""
        words = [*self.names]
        words += ["--where", self.where] if self.where else []
        words += [word for each in self.compare for word in ("--compare", each)]
        return shlex.join([*words, *(["--results", str(self.results)] if str(self.results) != "results" else [])])


class Chosen(NamedTuple):
    """One run of a selection."""

    path: Path
    document: Mapping[str, Any]  # run.json; of a damaged one only status and reason
    label: str | None  # of its set, where there are sets


def choose(selection: Selection) -> list[Chosen]:
    """Return the chosen runs, as they were named, or the last started first.

    Raises:
        InputError: a name or a condition is none, a set has no label, or a run is in two sets.
    """
    wanted = [runs.find(selection.results, name) for name in selection.names]
    sets = [_set(text) for text in selection.compare]
    fulfils = query.parse_where(selection.where)
    named = {path.resolve(): (path, runs.current_document(path)) for path in wanted}  # a path may lead to another store
    found = [pair for pair in (named.values() if wanted else query.select(selection.results)) if fulfils(*pair)]
    if not sets:
        return [Chosen(path, document, None) for path, document in found]
    labels = [[label for label, belongs in sets if belongs(*pair)] for pair in found]
    for (path, _), mine in zip(found, labels, strict=True):
        if len(mine) > 1:
            raise InputError(f"{path.name} is in two sets, {mine[0]!r} and {mine[1]!r}; one run, one set.")
    return [Chosen(*pair, mine[0]) for pair, mine in zip(found, labels, strict=True) if mine]


def _set(text: str) -> tuple[str, query.RunFilter]:
    """Read ``LABEL: CONDITIONS``."""
    label, colon, where = (part.strip() for part in text.partition(":"))
    if not (label and colon and where):
        raise InputError(f"--compare takes 'LABEL: CONDITIONS', such as 'many threads: threads>=8'; got {text!r}.")
    return label, query.parse_where(where)


def without_document(results: Path) -> list[Path]:
    """Return what was begun as a run but has no ``run.json``: a crash came before it, or it was lost."""
    if not results.is_dir():
        return []
    folders = [path for path in sorted(results.iterdir()) if path.is_dir() and not (path / DOCUMENT).exists()]
    return [path for path in folders if (path / LOCK).exists() or any(path.glob("*.jsonl"))]
