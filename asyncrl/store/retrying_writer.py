"""Appends rows and saves checkpoints where the disk may be full: failed writes are kept in memory and retried.

Training continues meanwhile. Earlier checkpoints stay intact, and an incomplete file never gets its final name.
"""

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from asyncrl.errors import UNWRITABLE
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.checkpoint import Best, Checkpoint, CheckpointError
from asyncrl.store.rows import Writer

FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0  # seconds between attempts, doubled by each failure
BACKLOG = 10_000  # pending rows of one file; later rows are dropped, and counted
BATCH = 1_000  # rows in one write


class Backoff:
    """When to retry one kind of write that fails: the delay doubles with each failure."""

    def __init__(self) -> None:
        self.failing_since: float | None = None  # time of the first failure in a row; None: the last write succeeded
        self._delay, self._retry_at = FIRST_RETRY, 0.0

    @property
    def may_try(self) -> bool:
        """Return whether the delay since the last failure is over."""
        return self.failing_since is None or time.monotonic() >= self._retry_at

    def record_failure(self) -> None:
        """Double the delay, and start it."""
        now = time.monotonic()
        self.failing_since = now if self.failing_since is None else self.failing_since
        self._retry_at, self._delay = now + self._delay, min(2 * self._delay, LONGEST_RETRY)

    def reset(self) -> None:
        """Set the delay back to its first value after a success."""
        self.failing_since, self._delay = None, FIRST_RETRY


class RetryingWriter(Writer):
    """Writes rows, run.json and checkpoints; on a full disk it retries with backoff instead of raising."""

    def __init__(self, run: Path, patience: float) -> None:
        """Open a run's directory; ``gave_up`` is True after ``patience`` seconds of failed checkpoints."""
        super().__init__(run)
        self.failed = self.lost = 0  # attempts; rows
        self.reason = ""  # why writes fail at present; empty: they succeed
        self.saved: int | None = None  # step of the last checkpoint
        self._patience = patience
        self._pending_rows: dict[str, deque[Mapping[str, Any]]] = {}
        self._pending_changes: dict[str, object] = {}  # of run.json
        self._pending_best: Best | None = None
        self._write_backoff, self._save_backoff = Backoff(), Backoff()
        self._outage_start = 0.0
        self._recovery: str | None = None

    def append(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Add rows to ``<name>.jsonl``, now or at a later retry."""
        pending = self._pending_rows.setdefault(name, deque())
        room = max(0, BACKLOG - len(pending))
        pending.extend(rows[:room])
        self.lost += len(rows[room:])
        self.retry()

    def update_document(self, **changes: object) -> None:
        """Replace top-level entries of ``run.json``, now or at a later retry."""
        self._pending_changes |= changes
        self.retry()

    def begin(self, **changes: object) -> None:
        """Write the first entries of ``run.json``; raise OSError where that fails."""
        super().update_document(**changes)

    def retry(self, now: bool = False) -> None:
        """Write everything that is pending if the delay is over, or ``now``."""
        if not (now or self._write_backoff.may_try) or self.waiting == 0:
            return
        failed = None
        writes: list[Callable[[], None]] = [partial(self._write_rows, name) for name in self._pending_rows]
        for write in (*writes, self._write_best, self._write_changes):
            try:
                write()
            # Another file may still have room: the limit may be that of one file.
            except OSError as error:
                failed = error
        if failed is not None:
            self._record_failure(self._write_backoff, failed)
        else:
            self._record_success(self._write_backoff)

    def _write_rows(self, name: str) -> None:
        rows = self._pending_rows[name]
        while rows:
            batch = tuple(islice(rows, BATCH))
            super().append(name, *batch)
            for _ in batch:
                rows.popleft()

    def _write_best(self) -> None:
        if self._pending_best is not None:
            with suppress(CheckpointError):  # the checkpoint was pruned meanwhile
                checkpoints.mark_best(self.run, *self._pending_best)
            self._pending_best = None

    def _write_changes(self) -> None:
        if self._pending_changes:
            super().update_document(**self._pending_changes)
            self._pending_changes = {}

    @property
    def waiting(self) -> int:
        """Return how many rows are pending; changes of run.json count as one, the best checkpoint's name as one."""
        rows = sum(map(len, self._pending_rows.values()))
        return rows + bool(self._pending_changes) + (self._pending_best is not None)

    def save(self, checkpoint: Checkpoint, keep: int) -> bool:
        """Save a checkpoint, and return whether that succeeded; see ``checkpoint.save``."""
        try:
            checkpoints.save(self.run, checkpoint, keep)
        except OSError as error:
            self._record_failure(self._save_backoff, error)
            return False
        self.saved = checkpoint.step
        self._record_success(self._save_backoff)
        return True

    def mark_if_best(self, step: int, score: float) -> None:
        """Mark the checkpoint of a step as the best if its score is above that of the best, now or at a later retry."""
        best = self._pending_best or checkpoints.best(self.run)
        if best is None or score > best.score:
            self._pending_best = Best(step, score)
            self.retry()

    @property
    def should_retry_save(self) -> bool:
        """Return whether the last checkpoint failed, and the delay after it is over."""
        return self._save_backoff.failing_since is not None and self._save_backoff.may_try

    @property
    def gave_up(self) -> bool:
        """Return whether checkpoints have failed for longer than the patience."""
        since = self._save_backoff.failing_since
        return since is not None and time.monotonic() - since >= self._patience

    def pop_recovery(self) -> str | None:
        """Return a description of the last outage, once after its end; None otherwise."""
        recovery, self._recovery = self._recovery, None
        return recovery

    def _record_failure(self, backoff: Backoff, error: OSError) -> None:
        if error.errno not in UNWRITABLE:
            raise error
        if not self.reason:
            self._outage_start, self.reason = time.monotonic(), os.strerror(error.errno)
        # One warning a session; the live view shows the reason for as long as it lasts.
        if self.failed == 0:
            text = f"{self.run} cannot be written: {self.reason}. Training continues, and writes are retried."
            warnings.warn(text, stacklevel=3)
        self.failed += 1
        backoff.record_failure()

    def _record_success(self, backoff: Backoff) -> None:
        backoff.reset()
        if self.reason and self._write_backoff.failing_since is None and self._save_backoff.failing_since is None:
            seconds = time.monotonic() - self._outage_start
            lost = f"{self.lost} rows lost in total" if self.lost else "no row was lost"
            self._recovery = f"the run could not be written for {seconds:.0f} s ({self.reason}); {lost}"
            self.reason = ""
