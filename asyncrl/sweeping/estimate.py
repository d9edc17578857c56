"""How long a sweep will take: frames to go, and core hours at measured rates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asyncrl.config import RunConfig
from asyncrl.sweeping import cells
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.source import cores_of
from asyncrl.system import machine

# Frames a second and core, where the sweep has no finished cell with the same environment and network: measured with
# one environment per worker on two cores, with evaluations and the start of processes.
USUAL_RATES = {"nips": 3_000.0, "nature": 2_000.0, "compact": 2_500.0, "minatar": 3_000.0, "mlp": 5_000.0}
USUAL_RATES |= {"nips-lstm": 1_500.0, "nature-lstm": 1_000.0, "compact-lstm": 1_200.0}
OTHER_RATE = 1_000.0  # of another network


class Trials(NamedTuple):
    """The trials of a search."""

    total: int
    proposed: int  # so far
    example: Sequence[Cell]  # the cells of one
    to_come: int


def preview(
    root: Path, found: Sequence[Cell], left: Sequence[Cell], trials: Trials | None, cores: int | None
) -> dict[str, Any]:
    """Return what ``--dry-run`` prints of a sweep.

    Args:
        root: the directory of the sweep.
        found: its cells; of a search, those of the trials that were proposed.
        left: the cells that a driver trains if they are not finished.
        trials: of a search; None for other sweeps.
        cores: the number of cores to estimate for; None: those of this machine.
    """
    states = {cell.name: cells.state(root / cell.name) for cell in found}
    measured = _measured_rates(root, [cell for cell in found if states[cell.name] is CellState.FINISHED])
    usable = cores or machine.cores()
    frames = core_seconds = 0.0
    unfinished = [cell for cell in left if states[cell.name] is not CellState.FINISHED]
    to_go = [(cell, 1, cells.frames(root / cell.name)) for cell in unfinished]
    to_go += [(cell, trials.to_come, 0) for cell in trials.example] if trials else []
    for cell, times, done in to_go:
        remaining = times * max(0, cell.config.frames - done)
        frames += remaining
        core_seconds += remaining / measured.get(_kind(cell.config), _usual_rate(cell.config))
    at_once = sum(cores_of(cell) * times for cell, times, _ in to_go)
    return {
        "root": str(root),
        "cells": [
            {
                "name": cell.name,
                "varied": cell.varied,
                "seed": cell.seed,
                "frames": cell.config.frames,
                "state": str(states[cell.name]),
            }
            for cell in found
        ],
        "trials": trials.total if trials else None,
        "proposed": trials.proposed if trials else None,
        "finished": sum(state is CellState.FINISHED for state in states.values()),
        "frames_left": int(frames),
        "core_hours": core_seconds / 3600,
        "hours": core_seconds / 3600 / max(1, min(usable, at_once)),
        "cores": usable,
        "is_measured": bool(measured),
    }


def _kind(config: RunConfig) -> tuple[str, str, str, int]:
    return config.env, config.algo, config.network, config.envs_per_thread


def _measured_rates(root: Path, finished: Sequence[Cell]) -> dict[tuple[str, str, str, int], float]:
    """Return frames a second and core of finished cells, by kind."""
    totals: dict[tuple[str, str, str, int], list[float]] = {}
    for cell in finished:
        document = cells.document(root / cell.name)
        if document is not None and document.seconds > 0 and not cell.config.is_simulated:
            total = totals.setdefault(_kind(cell.config), [0.0, 0.0])
            total[0] += document.frames
            total[1] += document.seconds * cores_of(cell)
    return {kind: frames / seconds for kind, (frames, seconds) in totals.items()}


def _usual_rate(config: RunConfig) -> float:
    return USUAL_RATES.get(config.network, OTHER_RATE)
