"""One ``*.jsonl`` file that is open for appending: it stays whole, whatever other programs do to its name.

One write has whole lines only, so that a reader, or a crash, loses at most the last write.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from asyncrl.store.atomic import is_regular, make_room, open_for_append, replace_file

BLOCK = 1 << 16  # bytes read at a time in the search for the last newline


class RowFile:
    """Appends lines to a file. A file that was removed is written again: its open descriptor still has the rows."""

    def __init__(self, path: Path, report: Callable[[str, str], None]) -> None:
        """Open nothing yet; ``report`` is called with the name and the damage that another program did."""
        self._path, self._report = path, report
        self._file: FileIO | None = None
        self._end, self._last = 0, b""  # where the last line of this process ends, and that line

    def append(self, lines: bytes) -> None:
        """Append whole lines in one write, after removing an incomplete one that a crash left.

        Raises:
            OSError: the disk is full, or the file cannot be written; none of these lines is there, earlier ones are.
        """
        file = self._lock()
        try:
            length = _length_of_whole_rows(file.fileno())
            file.truncate(length)
            if file.write(lines) < len(lines):
                file.truncate(length)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
            self._end, self._last = length + len(lines), lines
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def restore(self) -> None:
        """Open the file if it is not, and write it again if it was removed; raise OSError where that fails."""
        fcntl.flock(self._lock(), fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; every line is already written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock(self) -> FileIO:
        """Return the file that has the name now, locked: ``asyncrl eval`` may append during training."""
        while True:
            if self._file is None:
                self._file = open_for_append(self._path)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                if not is_regular(self._path):
                    self._write_again(self._file)
                elif os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                    self._report_lost_rows(self._file)
                    return self._file
            except OSError:
                fcntl.flock(self._file, fcntl.LOCK_UN)
                raise
            # The name belongs to a new file: cut() made one, or _write_again.
            self.close()

    def _write_again(self, old: FileIO) -> None:
        was_replaced = make_room(self._path)
        replace_file(self._path, os.pread(old.fileno(), os.fstat(old.fileno()).st_size, 0))
        change = "replaced by something that is no file" if was_replaced else "missing"
        self._report(self._path.name, f"was {change}; its rows were written again")

    def _report_lost_rows(self, file: FileIO) -> None:
        start = self._end - len(self._last)
        if self._last and os.pread(file.fileno(), len(self._last), start) != self._last:
            self._report(self._path.name, "was changed by another program; rows may be lost")
            self._end, self._last = 0, b""


def _length_of_whole_rows(descriptor: int) -> int:
    """Return the length of a file in bytes, up to and including its last newline."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(end - BLOCK, 0)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
