"""The cells of a sweep on a Ray cluster: an actor for each, wherever there is room."""

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarError
from typing import Any, Self

from asyncrl.cluster.connection import connected
from asyncrl.errors import Exit
from asyncrl.store import atomic
from asyncrl.sweeping.cell_process import CellProcess, pack, unpack
from asyncrl.sweeping.executors import Task, open_log
from asyncrl.text import error_text, one_line

LOSSES = 20  # of one cell's nodes or processes, before it counts as failed
ARCHIVE_SECONDS = 10.0  # between two copies of a cell that shares no directory
METHODS = 4  # of an actor at once: train, stop, archive


@dataclass
class _Running:
    task: Task
    actor: Any
    joined: Any  # answers whether the node shares the sweep's directory, as soon as the actor has a place
    training: Any = None
    archive: Any = None
    is_shared: bool = True
    archived_at: float = 0.0
    losses: int = 0
    stops: bool | None = None  # how it was asked to stop: now, or with a checkpoint


class RayTasks:
    """Trains each task in an actor of a Ray cluster.

    The directory of the sweep may be on a path that all nodes share. If a node does not share it, the directory of its
    run is copied to the node, and back at each checkpoint and at the end. A task whose node is lost is started again
    elsewhere, from its last checkpoint.
    """

    def __init__(self, on: str, jobs: int | None = None, shares: bool = True) -> None:
        """Connect to a cluster.

        Args:
            on: see ``connection.connected``.
            jobs: the number of tasks at once; None: as many as there are cores for.
            shares: whether nodes that see the sweep's directory use it.
        """
        self._jobs, self._shares = jobs, shares
        self._running: dict[str, _Running] = {}
        self._marks: dict[Path, Path] = {}
        self._stack = ExitStack()
        self._ray = self._stack.enter_context(connected(on))
        self._actor = self._ray.remote(CellProcess)

    def __enter__(self) -> Self:
        """Return this; the end of the context ends all tasks."""
        return self

    def __exit__(self, *error: object) -> None:
        """End what is left, and disconnect."""
        self.close()
        self._stack.close()

    def has_room(self, cores: int) -> bool:
        """Return whether so many cores are free on all nodes together, or with ``jobs`` whether fewer tasks run."""
        if self._jobs:
            return len(self._running) < self._jobs
        sizes = self._sizes()
        taken = sum(self._needed(each.task.cores, sizes) for each in self._running.values())
        return bool(sizes) and self._needed(cores, sizes) <= sum(sizes) - taken

    def _sizes(self) -> list[int]:
        """Return the number of cores of each node."""
        nodes = (node["Resources"] for node in self._ray.nodes() if node["Alive"])
        return [int(resources["CPU"]) for resources in nodes if resources.get("CPU")]

    def _needed(self, cores: int, sizes: list[int]) -> int:
        return max(1, min(cores, max(sizes, default=1)))

    def submit(self, task: Task) -> None:
        """Start an actor that trains the task as soon as a node has free cores."""
        self._running[task.name] = self._start(task)

    def _start(self, task: Task, losses: int = 0) -> _Running:
        request = task._asdict() | {"root": str(task.root.resolve()), "directory": os.getcwd()}
        options = {"num_cpus": self._needed(task.cores, self._sizes()), "max_concurrency": METHODS}
        actor = self._actor.options(**options).remote(request, str(self._mark(task.root)) if self._shares else None)
        return _Running(task, actor, actor.is_shared.remote(), losses=losses)

    def _mark(self, root: Path) -> Path:
        """Return a file in a sweep's directory, by which nodes see whether they share it."""
        if root not in self._marks:
            self._marks[root] = atomic.hidden_name(root.resolve())
            self._marks[root].touch()
        return self._marks[root]

    def poll(self) -> list[tuple[str, int]]:
        """Return the names and exit codes of tasks that have ended; start those again whose node was lost."""
        ended = []
        for name, running in list(self._running.items()):
            code = self._advance(running)
            if code is not None:
                self._end(self._running.pop(name))
                ended.append((name, code))
        return ended

    def _advance(self, running: _Running) -> int | None:
        """Take the next step of a task; return its exit code at its end."""
        errors = self._ray.exceptions
        try:
            if running.training is None:
                return self._begin(running)
            if not running.is_shared:
                self._fetch(running)
            if self._is_ready(running.training):
                code, archive = self._ray.get(running.training)
                self._keep(running, archive)
                return int(code)
        except errors.RayTaskError as error:
            return self._fail(running, one_line(error_text(error.cause if error.cause is not None else error)))
        except (errors.RayError, ConnectionError) as error:
            return self._restart(running, error)
        except (OSError, TarError) as error:
            return self._fail(running, f"its directory cannot be copied: {error}")
        return None

    def _begin(self, running: _Running) -> int | None:
        """Start the training as soon as the actor has a place."""
        if running.stops is not None:
            return -15
        if self._is_ready(running.joined):
            running.is_shared = bool(self._ray.get(running.joined))
            task = running.task
            archive = None if running.is_shared else pack(task.root, task.name)
            running.training, running.archived_at = running.actor.train.remote(archive), time.monotonic()
        return None

    def _fetch(self, running: _Running) -> None:
        """Copy the directory of a run here, where it has a new checkpoint."""
        if running.archive is None:
            if time.monotonic() - running.archived_at > ARCHIVE_SECONDS:
                running.archive = running.actor.archive.remote()
        elif self._is_ready(running.archive):
            self._keep(running, self._ray.get(running.archive))
            running.archive, running.archived_at = None, time.monotonic()

    def _keep(self, running: _Running, archive: bytes | None) -> None:
        if archive is not None:
            unpack(archive, running.task.root)

    def _is_ready(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])

    def _restart(self, running: _Running, error: Exception) -> int | None:
        """Start a task again whose actor was lost."""
        if running.stops is not None:
            return -15
        if running.losses == LOSSES:
            return self._fail(running, one_line(error_text(error)))
        self._end(running)
        self._running[running.task.name] = self._start(running.task, running.losses + 1)
        return None

    def _fail(self, running: _Running, reason: str) -> int:
        """Write to a cell's log why it cannot be trained, where the driver reads it."""
        with suppress(OSError), open_log(running.task.root, running.task.name) as log:
            log.write(f"{reason}\n".encode())
        return Exit.WORKER_FAILED

    def cancel(self, name: str, now: bool = False) -> None:
        """Ask a task to stop with a checkpoint, or at once; ``poll`` reports its end."""
        if name in self._running:
            self._running[name].stops = now
            self._running[name].actor.stop.remote(now)

    def _end(self, running: _Running) -> None:
        """End an actor, so that its cores are free."""
        with suppress(Exception):  # it may be lost
            self._ray.kill(running.actor)

    def close(self) -> None:
        """End all tasks at once."""
        for running in self._running.values():
            self._end(running)
        self._running.clear()
        for mark in self._marks.values():
            mark.unlink(missing_ok=True)
        self._marks.clear()
