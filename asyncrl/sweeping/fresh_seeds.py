"""The values of a search's best settings on seeds that the search did not use: the sweep ``<name>-confirm``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncrl import config
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from asyncrl.store import runs
from asyncrl.store.document import Status, read_document
from asyncrl.sweeping import objective
from asyncrl.sweeping.declaration import Declaration

ENDED = (Status.FINISHED, Status.FAILED)  # a running one has no value yet


def place_of(sweep: Path) -> Path:
    """Return the directory of the sweep that trains a search's best settings on fresh seeds."""
    return sweep.with_name(f"{sweep.name}-confirm")


def means(sweep: Path, declared: Declaration, wanted: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Return for each of some settings its objective for each fresh seed whose runs have ended.

    Args:
        sweep: the directory of the search.
        declared: its declaration.
        wanted: settings by name, as trials have them.
    """
    found = list(_ended_runs(place_of(sweep)))
    worst = objective.worst_scores(found)
    stored = [(points, made, _flat(made)) for points, made in found]
    each = []
    for settings in wanted:
        # Only these settings are compared: all others are those of the base.
        asked = _flat(config.build(config.nested(settings)))
        same = [(points, made) for points, made, flat in stored if all(flat[name] == asked[name] for name in settings)]
        each.append(objective.means_of_seeds(same, declared.sweep, worst))
    return each


def _ended_runs(place: Path) -> Iterator[tuple[objective.Curve, RunConfig]]:
    """Yield the evaluations and the settings of each run that has ended."""
    for run in runs.list_runs(place):
        try:
            document = read_document(run)
            made = config.build(document.get("config", {}))
        except InputError:
            continue
        if document.get("status") in ENDED:
            yield objective.curve(run), made


def _flat(made: RunConfig) -> dict[str, Any]:
    return config.flatten(made.model_dump(mode="json"))
