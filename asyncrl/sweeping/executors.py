"""Where the cells of a sweep train: an executor starts resumable runs, reports their ends, and stops them.

No state of a sweep lives in an executor: started again, every task continues from what its directory holds.
"""

import os
import signal
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from asyncrl.store import atomic
from asyncrl.system import machine
from asyncrl.system.child_command import Process, send_request, start_command

TRAIN_CELL = "train-cell"  # the command that reads a Task with ``parent`` and ``bound_to``
LOGS = "logs"  # a directory of the sweep: what each cell printed


class Task(NamedTuple):
    """One cell to train to its end: to start, or to resume from what its directory holds."""

    root: Path  # the directory of the sweep
    name: str  # of the cell, and of its directory
    table: dict[str, Any]  # its settings
    tags: dict[str, Any]  # stored with the run
    cores: int  # that it keeps busy


class Executor(Protocol):
    """Trains tasks somewhere."""

    def has_room(self, cores: int) -> bool:
        """Return whether a task that keeps so many cores busy could start now."""

    def submit(self, task: Task) -> None:
        """Start a task."""

    def poll(self) -> list[tuple[str, int]]:
        """Return the names and exit codes of the tasks that have ended since the last call."""

    def cancel(self, name: str, now: bool = False) -> None:
        """Ask a task to stop with a checkpoint, or at once; ``poll`` reports its end."""

    def close(self) -> None:
        """End all tasks at once."""


def open_log(root: Path, name: str) -> FileIO:
    """Open the file of a cell's printed text; what stands in the place of its directory is moved away."""
    logs = root / LOGS
    if os.path.lexists(logs) and not logs.is_dir():
        atomic.set_aside(logs)
    logs.mkdir(exist_ok=True)
    return atomic.open_for_append(logs / f"{name}.log")


class _Running(NamedTuple):
    process: Process
    cores: tuple[int, ...]
    log: FileIO


class LocalProcesses:
    """Trains each task in a process of this machine, bound to cores of its own."""

    def __init__(self, jobs: int | None = None, cores: Sequence[int] | None = None) -> None:
        """Use cores of this machine.

        Args:
            jobs: the number of tasks at once, each with its share of the cores; more tasks than cores share them.
                None: as many as there are cores for.
            cores: their numbers; None: all that this process may use.
        """
        self._cores = tuple(cores or machine.core_numbers() or range(machine.cores()))
        self._jobs = jobs
        self._running: dict[str, _Running] = {}

    def has_room(self, cores: int) -> bool:
        """Return whether so many cores are free, or with ``jobs`` whether fewer tasks are running."""
        if self._jobs:
            return len(self._running) < self._jobs
        return self._needed(cores) <= len(self._free())

    def submit(self, task: Task) -> None:
        """Start a process in a group of its own, so that Ctrl-C in a terminal reaches the driver alone."""
        cores = self._share(task)
        log = open_log(task.root, task.name)
        process = start_command(TRAIN_CELL, log)
        request = task._asdict() | {"root": str(task.root), "parent": os.getpid(), "bound_to": cores}
        send_request(process, request)
        self._running[task.name] = _Running(process, cores, log)

    def poll(self) -> list[tuple[str, int]]:
        """Return the names and exit codes of processes that have ended; a negative code is a signal's."""
        ended = []
        for name, running in list(self._running.items()):
            code = running.process.poll()
            if code is not None:
                running.log.close()
                del self._running[name]
                ended.append((name, code))
        return ended

    def cancel(self, name: str, now: bool = False) -> None:
        """Send a signal to a process: SIGTERM, which stops a run with a checkpoint, or SIGKILL."""
        if name in self._running:
            self._running[name].process.send_signal(signal.SIGKILL if now else signal.SIGTERM)

    def __enter__(self) -> Self:
        """Have all processes killed at the end."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill what is left."""
        self.close()

    def close(self) -> None:
        """Kill all processes, and wait for them; their workers end with them."""
        for running in self._running.values():
            running.process.kill()
        for running in self._running.values():
            running.process.wait()
            running.log.close()
        self._running.clear()

    def _needed(self, cores: int) -> int:
        return max(1, min(cores, len(self._cores)))

    def _free(self) -> list[int]:
        taken = {core for running in self._running.values() for core in running.cores}
        return [core for core in self._cores if core not in taken]

    def _share(self, task: Task) -> tuple[int, ...]:
        """Return the cores of a task: free ones, or with more jobs than that the least loaded."""
        count = self._needed(task.cores)
        if self._jobs:
            count = min(count, max(1, len(self._cores) // self._jobs))
        load = [core for running in self._running.values() for core in running.cores]
        return tuple(sorted(self._cores, key=load.count)[:count])
