"""The means of a search's best settings over seeds that the search did not use: the sweep ``<name>-confirm``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from asyncrl import config
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from asyncrl.store import runs
from asyncrl.store.document import Status, read_document
from asyncrl.sweeping import objective
from asyncrl.sweeping.declaration import Declaration

ENDED = (Status.FINISHED, Status.FAILED)  # a running one has no value yet


def fresh_means(
    sweep: Path, declared: Declaration, wanted: Sequence[Mapping[str, Any]]
) -> list[tuple[float, int] | None]:
    """Return for each of some settings its mean objective over fresh seeds, and their number; None without any.

    Args:
        sweep: the directory of the search.
        declared: its declaration.
        wanted: settings by name, as trials have them.
    """
    # Only these settings are compared: all others are those of the base.
    found = list(_ended_runs(sweep.with_name(f"{sweep.name}-confirm")))
    worst = min((score for run, _ in found for _, score in objective.curve(run)), default=0.0)
    stored = [(run, made, _flat(made)) for run, made in found]
    means: list[tuple[float, int] | None] = []
    for settings in wanted:
        asked = _flat(config.build(config.nested(settings)))
        same = [(run, made) for run, made, flat in stored if all(flat[name] == asked[name] for name in settings)]
        each = objective.means_of_seeds(same, declared.sweep, worst)
        means.append((fmean(each), len(each)) if each else None)
    return means


def _ended_runs(place: Path) -> Iterator[tuple[Path, RunConfig]]:
    for run in runs.list_runs(place):
        try:
            document = read_document(run)
            made = config.build(document.get("config", {}))
        except InputError:
            continue
        if document.get("status") in ENDED:
            yield run, made


def _flat(made: RunConfig) -> dict[str, Any]:
    return config.flatten(made.model_dump(mode="json"))
