"""Appends rows to the ``*.jsonl`` files of a run, updates its ``run.json``, and reads rows."""

import fcntl
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from asyncrl.store.atomic import plain, replace_file
from asyncrl.store.document import DOCUMENT, FORMAT, read_document
from asyncrl.store.row_file import RowFile


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
    return json.dumps(plain(row), ensure_ascii=False, allow_nan=False).encode() + b"\n"


class Writer:
    """Appends a run's rows and updates its document."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._files: dict[str, RowFile] = {}
        self._document: dict[str, Any] | None = None  # of the last write; None before the first

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one row to ``<name>.jsonl``; see ``RowFile.append``."""
        self._file(name).append(_line(row))

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


def _rows_file(run: Path, name: str) -> Path:
    return run / f"{name}.jsonl"
