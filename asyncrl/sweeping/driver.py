"""The driver of a sweep: trains its missing and begun cells, as many at once as there are cores for."""

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from asyncrl.errors import STOPS, Exit, InputError
from asyncrl.sweeping import cells, objective
from asyncrl.sweeping.cell import Cell, describe
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.executors import LOGS, Executor, Task
from asyncrl.sweeping.progress import RunningCell, SweepProgress
from asyncrl.sweeping.source import Source, cores_of
from asyncrl.system.files import open_regular
from asyncrl.system.stop_signals import StopSignals

RETRIES = 2  # of a failed cell, in one call of the driver
NEVER_RETRIED = (Exit.BAD_INPUT, Exit.NO_CHECKPOINT)  # of a cell: it would end in the same way
POLL_SECONDS = 0.1
SHOW_SECONDS = 0.5
LOG_TAIL = 1 << 16  # bytes of a cell's log in which its last line is looked for
STOP_SECONDS = 60.0  # for checkpoints after a signal; afterwards the processes are killed


class Outcome(NamedTuple):
    """How a call of the driver ended."""

    progress: SweepProgress
    code: Exit


class Driver:
    """Runs the cells of a source on an executor."""

    def __init__(
        self,
        root: Path,
        source: Source,
        executor: Executor,
        show: Callable[[SweepProgress], None],
        fail_fast: bool = False,
    ) -> None:
        """Prepare.

        Args:
            root: the directory of the sweep; this process holds its lock.
            source: the cells to train.
            executor: trains them.
            show: the overview, called when something has happened, and some times a second.
            fail_fast: whether the first failed cell ends the sweep.
        """
        self._root, self._source, self._executor, self._show = root, source, executor, show
        self._fail_fast = fail_fast
        self._running: dict[str, Cell] = {}
        self._queue: deque[Cell] = deque()  # cells to retry
        self._pruned: set[str] = set()  # names of cells that are being stopped early
        self._attempts: dict[str, int] = {}
        self._failed = list(source.failed)
        self._start = time.monotonic()
        self._shown = 0.0
        self._frames_before: dict[str, int] = {}
        self._frames_done = 0  # by cells that ended in this call
        self._stopping_since: float | None = None
        self._error: InputError | OSError | None = None

    def run(self) -> Outcome:
        """Train until nothing is left, or a signal stops all runs with checkpoints.

        Raises:
            InputError: no cell can be started, or no result recorded; all runs were stopped with checkpoints.
            OSError: likewise, as on a full disk.
        """
        signals = StopSignals(STOPS, self._stop)
        code = Exit.OK
        try:
            with signals:
                self._train()
        except KeyboardInterrupt:  # a second signal: end at once
            pass
        finally:
            self._executor.close()
        if signals.received is not None:
            code = STOPS[signals.received]
        elif self._failed:
            code = Exit.SWEEP_INCOMPLETE
        if self._error is not None and signals.received is None:
            raise self._error
        return Outcome(self._progress(), code)

    def _train(self) -> None:
        is_left = True
        while is_left:
            try:
                is_left = self._step()
            except (InputError, OSError) as error:
                self._error = self._error or error
                self._stop()
                is_left = bool(self._running)

    def _stop(self) -> None:
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            for name in self._running:
                self._executor.cancel(name)

    def _step(self) -> bool:
        """Record what has ended, start what has room, and return whether anything is left."""
        ended = self._executor.poll()
        if self._running and not ended:
            time.sleep(POLL_SECONDS)
        # The executor has forgotten them: an error of one must not leave another in ``_running``.
        for cell, exit_code in [(self._running.pop(name), exit_code) for name, exit_code in ended]:
            self._record_end(cell, exit_code)
        while self._stopping_since is None and self._start_next():
            pass
        for message in self._source.take_messages():
            self._tell(message)
        if self._stopping_since is not None and time.monotonic() - self._stopping_since > STOP_SECONDS:
            for name in self._running:
                self._executor.cancel(name, now=True)
        if time.monotonic() - self._shown > SHOW_SECONDS:
            self._tell("")
            self._prune()
        return bool(self._running) or (self._stopping_since is None and bool(self._queue))

    def _start_next(self) -> bool:
        needed = cores_of(self._queue[0]) if self._queue else self._source.next_cores
        # A search proposes better the more results it knows, so it is asked only when there is room.
        if needed is None or not self._executor.has_room(needed):
            return False
        cell = self._queue.popleft() if self._queue else self._source.next()
        if cell is None:
            return False
        kept = cells.set_aside_damage(self._root / cell.name)
        if kept:
            self._tell(f"damaged: {cell.name} cannot be resumed; it was moved to {kept}, and starts again")
        tags = {"sweep": self._root.name, "cell": cell.identity, "varied": cell.varied}
        task = Task(self._root, cell.name, cell.table, tags, cores_of(cell))
        self._frames_before[cell.name] = cells.frames(self._root / cell.name)
        self._running[cell.name] = cell
        try:
            self._executor.submit(task)
        except OSError:
            del self._running[cell.name]
            raise
        if self._stopping_since is not None:
            # A signal came before the executor had the task.
            self._executor.cancel(cell.name)
        return True

    def _record_end(self, cell: Cell, exit_code: int) -> None:
        run = self._root / cell.name
        self._frames_done += max(0, cells.frames(run) - self._frames_before[cell.name])
        text = f"{describe(cell.varied) or cell.name}, seed {cell.seed}".removeprefix(", ")
        if cells.state(run) is CellState.FINISHED:
            self._source.record(cell, True)
            scores = _scores(run)
            self._tell(f"finished {text}" + (f": score {scores[-1]:g}" if scores else ""))
            return
        if cell.name in self._pruned:
            self._source.record(cell, False)
            self._tell(f"pruned {text}")
            return
        if self._stopping_since is not None:
            return
        reason = _reason(self._root, cell, exit_code)
        attempts = self._attempts[cell.name] = self._attempts.get(cell.name, 0) + 1
        if attempts <= RETRIES and exit_code not in NEVER_RETRIED:
            self._tell(f"failed {text}: {reason}; retry {attempts} of {RETRIES}")
            self._queue.append(cell)
            return
        self._failed.append((cell, reason))
        self._source.record(cell, False)
        self._tell(f"failed {text}: {reason}")
        if self._fail_fast:
            self._stop()

    def _prune(self) -> None:
        for name in self._source.to_prune(self._running):
            if name not in self._pruned:
                self._pruned.add(name)
                self._executor.cancel(name)

    def _tell(self, message: str) -> None:
        self._shown = time.monotonic()
        self._show(self._progress(message))

    def _progress(self, message: str = "") -> SweepProgress:
        running = tuple(
            RunningCell(cell, cells.frames(self._root / name), _scores(self._root / name))
            for name, cell in self._running.items()
        )
        seconds = time.monotonic() - self._start
        done = self._frames_done + sum(max(0, each.frames - self._frames_before[each.cell.name]) for each in running)
        left = self._source.frames_left + sum(max(0, each.cell.config.frames - each.frames) for each in running)
        left += sum(cell.config.frames for cell in self._queue)
        time_left = seconds * left / done if done and seconds > 1 else None
        return SweepProgress(
            self._source.total, self._source.finished, running, tuple(self._failed), seconds, time_left, message
        )


def _scores(run: Path) -> tuple[float, ...]:
    return tuple(score for _, score in objective.curve(run))


def _reason(root: Path, cell: Cell, exit_code: int) -> str:
    """Return why a cell's process ended: from its run, or the last line that it printed."""
    run = root / cell.name
    if exit_code == Exit.NO_CHECKPOINT:
        return f"all its checkpoints are damaged; remove {run} to start it again"
    document = cells.document(run)
    if document and document.reason and exit_code > 0:
        return document.reason
    if exit_code < 0:
        return f"its process was killed by signal {-exit_code}"
    try:
        with open_regular(root / LOGS / f"{cell.name}.log") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL))
            lines = log.read(LOG_TAIL).decode(errors="replace").split("\n")
    except OSError:
        lines = []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.removeprefix("asyncrl: ")[:300] or f"its process ended with exit code {exit_code}"
