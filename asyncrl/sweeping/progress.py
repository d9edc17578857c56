"""The state of a sweep as the overview shows it, and how a sweep ended."""

from typing import Any, NamedTuple

from asyncrl.errors import Exit
from asyncrl.sweeping.cell import Cell


class RunningCell(NamedTuple):
    """A cell that is being trained, as the overview shows it."""

    cell: Cell
    frames: int
    scores: tuple[float, ...]  # means of its evaluations


class SweepProgress(NamedTuple):
    """The state of a sweep, as the overview shows it."""

    total: int
    finished: int
    running: tuple[RunningCell, ...]
    failed: tuple[tuple[Cell, str], ...]  # with the reason
    seconds: float  # of this call
    left: float | None  # seconds, at the speed so far; None: unknown yet
    message: str = ""  # what has just happened; empty: only numbers have changed


class Confirmed(NamedTuple):
    """One setting on fresh seeds."""

    settings: dict[str, Any]  # empty: those of the preset
    searched: float | None  # its value in the search; None for the preset
    mean: float
    low: float  # of the 95 % interval
    high: float
    seeds: int


class Result(NamedTuple):
    """How a call ended."""

    code: Exit
    progress: SweepProgress
    best: dict[str, Any] | None = None  # of a search: its settings and value, and the file that has them
    confirmed: tuple[Confirmed, ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()  # trials of a search that cannot be trained, each with the reason
