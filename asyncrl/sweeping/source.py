"""Where the driver of a sweep gets its cells from: a fixed list, or (in ``search``) a study that proposes them."""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Protocol

from asyncrl.sweeping.cell import Cell
from asyncrl.system import machine
from asyncrl.training.job_builder import worker_layout


class Source(Protocol):
    """Where the driver gets cells from."""

    @property
    def total(self) -> int:
        """Return the number of cells in all, as far as it is known."""

    @property
    def finished(self) -> int:
        """Return the number of finished cells, of this call and of earlier ones."""

    @property
    def failed(self) -> Sequence[tuple[Cell, str]]:
        """Return the cells that failed in earlier calls and are not trained again, each with the reason."""

    @property
    def frames_left(self) -> int:
        """Return the frames of cells that ``next`` will return, as far as they are known."""

    @property
    def next_cores(self) -> int | None:
        """Return how many cores the next cell keeps busy; None if there is no cell at present."""

    def next(self) -> Cell | None:
        """Return the next cell to train; None if there is none after all."""

    def record(self, cell: Cell, is_finished: bool) -> None:
        """Record that a cell is finished, or has failed for good."""

    def take_messages(self) -> list[str]:
        """Return what has happened since the last call, for the overview."""

    def to_prune(self, running: Collection[str]) -> list[str]:
        """Return those of the names of running cells that are to stop early."""


class FixedCells:
    """The cells of a grid, random or Sobol sweep: those that are not finished, in the order of the file."""

    def __init__(self, all_cells: Sequence[Cell], finished: Sequence[Cell]) -> None:
        """Leave out the finished ones."""
        done = {cell.identity for cell in finished}
        self._pending = deque(cell for cell in all_cells if cell.identity not in done)
        self.total, self.finished = len(all_cells), len(finished)
        self.failed: Sequence[tuple[Cell, str]] = ()  # a failed cell is trained again in each call

    @property
    def frames_left(self) -> int:
        """Return the frames of the cells that have not been returned."""
        return sum(cell.config.frames for cell in self._pending)

    @property
    def next_cores(self) -> int | None:
        """Return how many cores the next cell keeps busy."""
        return cores_of(self._pending[0]) if self._pending else None

    def next(self) -> Cell:
        """Return the next cell."""
        return self._pending.popleft()

    def record(self, cell: Cell, is_finished: bool) -> None:
        """Count the finished cells."""
        self.finished += is_finished

    def take_messages(self) -> list[str]:
        """Return nothing: only cells that end happen here."""
        return []

    def to_prune(self, running: Collection[str]) -> list[str]:
        """Train every cell to its end."""
        return []


def cores_of(cell: Cell) -> int:
    """Return how many cores a cell keeps busy: its threads, at most those of this machine; one in simulated time."""
    if cell.config.is_simulated:
        return 1
    plan = worker_layout(cell.config)
    return min(max(plan.workers, plan.cpu_threads), machine.cores())
