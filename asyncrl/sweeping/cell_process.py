"""One cell of a sweep on a node of a cluster: the process that trains it, and its directory as an archive."""

import io
import os
import shutil
import signal
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from asyncrl.store import atomic
from asyncrl.sweeping.executors import LOGS, TRAIN_CELL, open_log
from asyncrl.system.child_command import Process, send_request, start_command

CHECKPOINTS = "checkpoints"  # in the directory of a run


class CellProcess:
    """Trains one cell by the command that a local driver starts, too; it stops and is packed from other threads."""

    def __init__(self, request: dict[str, Any], mark: str | None) -> None:
        """Prepare a cell.

        Args:
            request: a Task as JSON, with the ``directory`` in which the driver runs.
            mark: a file in the sweep's directory, by which a node sees whether it shares that; None: it does not.
        """
        self._request = request
        self._root, self._name = Path(request["root"]), str(request["name"])
        self.shares = mark is not None and os.path.exists(mark)
        self._process: Process | None = None
        self._is_stopped = False
        self._packed: int | None = None  # when the checkpoints were written that were packed last

    def is_shared(self) -> bool:
        """Return whether the sweep's directory is that of the driver."""
        return self.shares

    def train(self, archive: bytes | None) -> tuple[int, bytes | None]:
        """Train to the end; return the exit code, and the run's directory where the driver does not share it.

        Args:
            archive: the run's directory, to go on from; None: the driver shares it, or there is none.
        """
        if self.shares:
            return self._train(), None
        place = Path(tempfile.mkdtemp(prefix="asyncrl-cell-"))
        try:
            self._root = place / self._root.name
            self._root.mkdir()
            if archive is not None:
                unpack(archive, self._root)
            return self._train(), pack(self._root, self._name)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _train(self) -> int:
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # Ray's
        # where the driver runs: environments of the user may be there
        directory = self._request["directory"] if self.shares else None
        request = self._request | {"root": str(self._root), "parent": os.getpid(), "bound_to": None}
        with open_log(self._root, self._name) as log:
            cwd = directory if directory and os.path.isdir(directory) else None
            self._process = start_command(TRAIN_CELL, log, cwd, environment)
            if self._is_stopped:
                self._process.terminate()
            send_request(self._process, request)
            return self._process.wait()

    def stop(self, now: bool) -> None:
        """Ask the process to stop with a checkpoint, or kill it."""
        self._is_stopped = True
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if now else signal.SIGTERM)

    def archive(self) -> bytes | None:
        """Return the run's directory, if it has a new checkpoint since the last call."""
        try:
            written = (self._root / self._name / CHECKPOINTS).stat().st_mtime_ns
            if written == self._packed:
                return None
            packed = pack(self._root, self._name)
        except OSError:  # there is no checkpoint yet, or one was removed meanwhile
            return None
        self._packed = written
        return packed


def pack(root: Path, name: str) -> bytes | None:
    """Return a cell's directory and log as an archive; None if there is no directory."""
    if not atomic.is_directory(root / name):
        return None
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(root / name, name)
        log = f"{LOGS}/{name}.log"
        if (root / log).is_file():
            archive.add(root / log, log)
    return stream.getvalue()


def unpack(archive: bytes, root: Path) -> None:
    """Put a cell's directory and log in the place of those that are there; raise OSError or tarfile.TarError."""
    place = atomic.hidden_name(root)
    place.mkdir()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as stream:
            stream.extractall(place, filter="data")
        for log in (place / LOGS).glob("*"):
            (root / LOGS).mkdir(exist_ok=True)
            log.replace(root / LOGS / log.name)
        for run in place.iterdir():
            if run.name != LOGS:
                old = atomic.hidden_name(root)
                if os.path.lexists(root / run.name):
                    (root / run.name).rename(old)
                run.rename(root / run.name)
                atomic.delete(old)
    finally:
        atomic.delete(place)
