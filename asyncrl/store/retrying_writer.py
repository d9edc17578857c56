"""The hand that writes a run, where the disk may be full: what cannot be written waits, and is tried again.

Training goes on meanwhile. What was saved before stays as it is, and nothing half-written gets a name.
"""

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from asyncrl.errors import UNWRITABLE
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.checkpoint import Best, Checkpoint, CheckpointError
from asyncrl.store.rows import Writer

FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0  # seconds between attempts, doubled by each that fails
BACKLOG = 10_000  # rows of one file that wait for room; what comes after them is lost, and counted


class Trouble:
    """One kind of thing that cannot be written, since when, and when it is time to try again."""

    def __init__(self) -> None:
        self.since: float | None = None  # None: it can be written
        self._delay, self._due = FIRST_RETRY, 0.0

    @property
    def is_over_or_due(self) -> bool:
        """Say whether an attempt is in order."""
        return self.since is None or time.monotonic() >= self._due

    def add(self) -> None:
        """Count a failed attempt."""
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        self._due, self._delay = now + self._delay, min(2 * self._delay, LONGEST_RETRY)

    def end(self) -> None:
        """Forget it: an attempt succeeded."""
        self.since, self._delay = None, FIRST_RETRY


class RetryingWriter(Writer):
    """A Writer of rows, of the document and of checkpoints, which a full disk does not stop."""

    def __init__(self, run: Path, patience: float) -> None:
        """Open on a run's directory; after ``patience`` seconds without a checkpoint that was due, it is hopeless."""
        super().__init__(run)
        self.failed = self.lost = 0  # attempts; rows
        self.reason = ""  # why nothing can be written at present; empty: it can
        self.saved: int | None = None  # step of the last checkpoint
        self._patience = patience
        self._rows: dict[str, deque[Mapping[str, Any]]] = {}  # that wait
        self._changes: dict[str, object] = {}  # of the document, that wait
        self._best: Best | None = None  # that waits
        self._writing, self._saving = Trouble(), Trouble()
        self._began = 0.0
        self._mended: str | None = None

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Add one row to ``<name>.jsonl``, now or as soon as there is room."""
        rows = self._rows.setdefault(name, deque())
        if len(rows) < BACKLOG:
            rows.append(row)
        else:
            self.lost += 1
        self.retry()

    def document(self, **changes: object) -> None:
        """Lay entries over those of ``run.json``, now or as soon as there is room."""
        self._changes |= changes
        self.retry()

    def begin(self, **changes: object) -> None:
        """Lay the first entries over those of ``run.json``; raise OSError where that is not possible now."""
        super().document(**changes)

    def retry(self, now: bool = False) -> None:
        """Write what waits, if it is time to try, or ``now``."""
        if not (now or self._writing.is_over_or_due) or self.waiting == 0:
            return
        failed = None
        writes: list[Callable[[], None]] = [partial(self._write_rows, name) for name in self._rows]
        for write in (*writes, self._write_best, self._write_changes):
            try:
                write()
            except OSError as error:  # another file may still have room: a limit may be that of one file
                failed = error
        if failed is not None:
            self._fail(self._writing, failed)
        else:
            self._succeed(self._writing)

    def _write_rows(self, name: str) -> None:
        rows = self._rows[name]
        while rows:
            super().append(name, rows[0])
            rows.popleft()

    def _write_best(self) -> None:
        if self._best is not None:
            with suppress(CheckpointError):  # it waited for so long that the checkpoint is gone
                checkpoints.mark_best(self.run, *self._best)
            self._best = None

    def _write_changes(self) -> None:
        if self._changes:
            super().document(**self._changes)
            self._changes = {}

    @property
    def waiting(self) -> int:
        """Return how many rows wait for room; the document counts as one."""
        return sum(map(len, self._rows.values())) + bool(self._changes) + (self._best is not None)

    def save(self, checkpoint: Checkpoint, keep: int) -> bool:
        """Save a checkpoint, and say whether that was possible; see ``checkpoint.save``."""
        try:
            checkpoints.save(self.run, checkpoint, keep)
        except OSError as error:
            self._fail(self._saving, error)
            return False
        self.saved = checkpoint.step
        self._succeed(self._saving)
        return True

    def mark_if_best(self, step: int, score: float) -> None:
        """Name the checkpoint just saved the best if none has as high a score, now or as soon as there is room."""
        best = self._best or checkpoints.best(self.run)
        if best is None or score > best.score:
            self._best = Best(step, score)
            self.retry()

    @property
    def wants_checkpoint(self) -> bool:
        """Say whether one could not be saved, and it is time to try again."""
        return self._saving.since is not None and self._saving.is_over_or_due

    @property
    def gave_up(self) -> bool:
        """Say whether a checkpoint has been due for too long."""
        return self._saving.since is not None and time.monotonic() - self._saving.since >= self._patience

    def recovered(self) -> str | None:
        """Return once, after everything could be written again, what there was."""
        told, self._mended = self._mended, None
        return told

    def _fail(self, trouble: Trouble, error: OSError) -> None:
        if error.errno not in UNWRITABLE:
            raise error
        if not self.reason:
            self._began, self.reason = time.monotonic(), os.strerror(error.errno)
        if self.failed == 0:  # said once; the view says it as long as it is so
            told = f"{self.run} cannot be written: {self.reason}. Training goes on, and saving is tried again."
            warnings.warn(told, stacklevel=3)
        self.failed += 1
        trouble.add()

    def _succeed(self, trouble: Trouble) -> None:
        trouble.end()
        if self.reason and self._writing.since is None and self._saving.since is None:
            seconds = time.monotonic() - self._began
            lost = f"{self.lost} rows lost in all" if self.lost else "no row was lost"
            self._mended = f"the run could not be written for {seconds:.0f} s ({self.reason}); {lost}"
            self.reason = ""
