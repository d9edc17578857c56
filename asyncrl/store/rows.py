"""Appends rows to the ``*.jsonl`` files of a run, updates its ``run.json``, and reads rows.

One write has whole lines only, so that a reader, or a crash, loses at most the rows of the last write.
"""

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Self

from asyncrl.store.atomic import plain, replace_file
from asyncrl.store.document import DOCUMENT, FORMAT, read_document

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
BLOCK = 1 << 16  # bytes read at a time in the search for the last newline


def read_rows(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of ``<name>.jsonl``, such as ``episodes``, without incomplete or damaged ones."""
    try:
        lines = _rows_file(run, name).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows = []
    # After the last newline there is nothing, or an incomplete row.
    for line in lines[:-1]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def cut(run: Path, name: str, step: int) -> None:
    """Remove rows of later steps than the checkpoint that a run resumes from; keep those of ``asyncrl eval``."""
    with suppress(FileNotFoundError), _rows_file(run, name).open("rb") as file:
        # A writer that waits for this lock then opens the new file.
        fcntl.flock(file, fcntl.LOCK_EX)
        rows = read_rows(run, name)
        kept = [row for row in rows if row.get("steps", 0) <= step or row.get("kind") == "eval"]
        if len(kept) < len(rows):
            replace_file(_rows_file(run, name), b"".join(_line(row) for row in kept))


def _line(row: Mapping[str, Any]) -> bytes:
    return ENCODER.encode(plain(row)).encode() + b"\n"


class Writer:
    """Appends a run's rows and updates its document."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._files: dict[str, FileIO] = {}

    def append(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Append rows to ``<name>.jsonl`` in one write, after removing an incomplete row that a crash left.

        Raises:
            OSError: the disk is full, or the file cannot be written; none of these rows is there, earlier ones are.
        """
        lines = b"".join(map(_line, rows))
        file = self._lock(name)
        try:
            length = _length_of_whole_rows(file.fileno())
            file.truncate(length)
            if file.write(lines) < len(lines):
                file.truncate(length)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _lock(self, name: str) -> FileIO:
        """Open and lock a file: ``asyncrl eval`` may append while the run is still training."""
        path = _rows_file(self.run, name)
        while True:
            if name not in self._files:
                self._files[name] = path.open("a+b", buffering=0)
            file = self._files[name]
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            # cut() replaced the file meanwhile.
            self._files.pop(name).close()

    def update_document(self, **changes: object) -> None:
        """Replace top-level entries of ``run.json`` in one atomic write."""
        old = read_document(self.run) if (self.run / DOCUMENT).exists() else {"format": FORMAT}
        text = json.dumps(plain({**old, **changes}), indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(self.run / DOCUMENT, text.encode() + b"\n")

    def close(self) -> None:
        """Close the files; every row is already written."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _rows_file(run: Path, name: str) -> Path:
    return run / f"{name}.jsonl"


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
