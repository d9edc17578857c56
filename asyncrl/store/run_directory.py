"""The directory of a run that is training: created again, with its lock, where another program removed or moved it."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path

from asyncrl.errors import InputError
from asyncrl.store.atomic import set_aside
from asyncrl.store.runs import LOCK, hold

Identity = tuple[int, int]  # device and inode


class RunDirectory:
    """Knows the lock file of its process, by which it sees whether the directory is still the same."""

    def __init__(self, run: Path) -> None:
        """Remember a directory that exists and whose lock this process holds; raise OSError where there is none."""
        self._run = run
        self._device = os.stat(run.parent).st_dev
        self._locks = {_identity(run / LOCK)}  # held by this process; None: it has no lock
        self._holds = ExitStack()

    def ensure(self) -> bool:
        """Create the directory and its lock again if they are gone; return whether they were.

        Raises:
            OSError: they cannot be created, or another process holds the lock of what is there now.
        """
        if os.path.isdir(self._run) and _identity(self._run / LOCK) in self._locks:
            return False
        # A file system that is not mounted leaves an empty directory, on another disk.
        if os.stat(self._run.parent).st_dev != self._device:
            raise OSError(errno.ENODEV, f"the file system of {self._run.parent} is not there")
        if not os.path.isdir(self._run):
            if os.path.lexists(self._run):
                set_aside(self._run)
            self._run.mkdir()
        try:
            self._holds.enter_context(hold(self._run))
        except InputError as error:
            raise OSError(errno.EBUSY, str(error).rstrip(".")) from None
        self._locks.add(_identity(self._run / LOCK))
        return True

    def close(self) -> None:
        """Release the locks that ``ensure`` took."""
        self._holds.close()


def _identity(path: Path) -> Identity | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
