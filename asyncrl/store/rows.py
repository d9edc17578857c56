"""Appends rows to the ``*.jsonl`` files of a run, updates its ``run.json``, and reads rows.

One write has whole lines only, so that a reader, or a crash, loses at most the rows of the last write.
"""

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from asyncrl.errors import InputError
from asyncrl.store.atomic import plain, replace_file, restored
from asyncrl.store.columns import COLUMNS, is_number, valid_row
from asyncrl.store.document import DOCUMENT, FORMAT, read_document
from asyncrl.store.json_text import parse
from asyncrl.store.row_file import RowFile
from asyncrl.system.files import open_regular, read_regular

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
TAIL = 1 << 16  # bytes at the end of a file, in which last_row looks
MAX_FILE_BYTES = 1 << 30  # of a row file, which is read as a whole
MAX_ROW_BYTES = 4 << 20


class ValidRows(NamedTuple):
    """The rows of one file whose columns have their types."""

    rows: list[dict[str, Any]]
    damaged: int  # number of lines that were left out


def valid_rows(run: Path, name: str) -> ValidRows:
    """Return the rows of ``<name>.jsonl``, checked against ``columns.COLUMNS``; raise InputError as ``read_rows``."""
    lines = [line for line in _whole_lines(run, name) if line.strip()]
    rows = [row for line in lines if (row := valid_row(name, _parse_row(line))) is not None]
    return ValidRows(rows, len(lines) - len(rows))


def read_rows(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of ``<name>.jsonl`` as they are on disk, without incomplete rows and lines that are no rows.

    Raises:
        InputError: the file cannot be read, or something else is in its place.
    """
    rows = [row for line in _whole_lines(run, name) if isinstance(row := _parse_row(line), dict)]
    return [restored(row) for row in rows]


def read_row_file(run: Path, name: str) -> bytes:
    """Return the contents of ``<name>.jsonl``, empty if there is no file; raise InputError as ``read_rows``."""
    try:
        return read_regular(_rows_file(run, name), MAX_FILE_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InputError(f"Cannot read {_rows_file(run, name)}: {error.strerror}.") from None


def check_row_files(run: Path) -> None:
    """Raise InputError if a row file of a run exists, but cannot be opened."""
    for path in row_files(run):
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise OSError(errno.EINVAL, f"it has more than {MAX_FILE_BYTES:,} bytes")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from None


def _whole_lines(run: Path, name: str) -> list[bytes]:
    # After the last newline there is nothing, or an incomplete row.
    return read_row_file(run, name).split(b"\n")[:-1]


def _parse_row(line: bytes) -> object:
    """Return the value of a line, or None if it is no JSON or too long."""
    try:
        return parse(line) if len(line) <= MAX_ROW_BYTES else None
    except ValueError:
        return None


def last_row(run: Path, name: str) -> dict[str, Any] | None:
    """Return the last whole row of a file without reading all of it; None if there is none in its last 64 KiB."""
    try:
        with open_regular(_rows_file(run, name)) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines):
        if (row := valid_row(name, _parse_row(line))) is not None:
            return row
    return None


def cut(run: Path, name: str, step: int) -> None:
    """Remove rows of later steps than the checkpoint that a run resumes from; keep those of ``asyncrl eval``."""
    with suppress(FileNotFoundError), open_regular(_rows_file(run, name)) as file:
        # A writer that waits for this lock then opens the new file.
        fcntl.flock(file, fcntl.LOCK_EX)
        rows = read_rows(run, name)
        kept = [row for row in rows if not _is_later(row, step) or row.get("kind") == "eval"]
        if len(kept) < len(rows):
            replace_file(_rows_file(run, name), b"".join(_line(row) for row in kept))


def _is_later(row: Mapping[str, Any], step: int) -> bool:
    steps = row.get("steps")
    return is_number(steps) and steps > step


def _line(row: Mapping[str, Any]) -> bytes:
    return ENCODER.encode(plain(row)).encode() + b"\n"


class Writer:
    """Appends a run's rows and updates its document."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._files: dict[str, RowFile] = {}
        self._document: dict[str, Any] | None = None  # of the last write; None before the first

    def append(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Append rows to ``<name>.jsonl`` in one write; see ``RowFile.append``."""
        self._file(name).append(b"".join(map(_line, rows)))

    def update_document(self, **changes: object) -> None:
        """Replace top-level entries of ``run.json`` in one atomic write; it is read only before the first write."""
        if self._document is None:
            self._document = read_document(self.run) if (self.run / DOCUMENT).exists() else {"format": FORMAT}
        self._document |= changes
        self._write_document()

    def close(self) -> None:
        """Close the files; every row is already written."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, name: str) -> RowFile:
        if name not in self._files:
            self._files[name] = RowFile(_rows_file(self.run, name), self._report)
        return self._files[name]

    def _write_document(self) -> None:
        replace_file(self.run / DOCUMENT, self._document_text())

    def _document_text(self) -> bytes:
        return json.dumps(plain(self._document), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    def _report(self, name: str, damage: str) -> None:
        """Report once that another program damaged a file; only a RetryingWriter does."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def row_files(run: Path) -> list[Path]:
    """Return the paths of all row files that a run may have."""
    return [_rows_file(run, name) for name in COLUMNS]


def _rows_file(run: Path, name: str) -> Path:
    return run / f"{name}.jsonl"
