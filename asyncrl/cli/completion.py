"""Names that a shell completes. Nothing here imports torch; where names cannot be found, there are none."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

MAX_NAMES = 500  # that a shell is given


def of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completion out of fixed names."""
    known = tuple(names)
    return lambda incomplete: [name for name in known if name.startswith(incomplete)]


def environments(incomplete: str) -> list[str]:
    """Return the names of environments that begin so."""
    try:
        from asyncrl.envs import catalog
        from asyncrl.envs.registry import roms

        return of([*roms(), *catalog.minatar_names(), *catalog.gymnasium_names()])(incomplete)
    # an error would be printed between the words that the user types
    except Exception:
        return []


def run_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of runs that begin so, the newest first, ``last``, and SWEEP/CELL."""
    results = Path(context.params.get("results") or os.environ.get("ASYNCRL_RESULTS") or "results")
    folder = incomplete.rpartition("/")[0]
    try:
        from asyncrl.store.runs import list_runs

        found = [f"{folder}/{run.name}" if folder else run.name for run in list_runs(results / folder)]
    except Exception:
        found = []
    return of(["last", *found])(incomplete)[:MAX_NAMES]
