"""Appends rows and saves checkpoints where writes may fail: they are kept in memory and retried.

Every OSError of a write is treated alike: a full disk, a directory that was moved away, a file system that became
read-only. Training continues meanwhile. Earlier checkpoints stay intact, and an incomplete file never gets its final
name. Files that another program damages are written again, as far as this process knows their contents.
"""

import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.atomic import MAX_OBJECT_BYTES
from asyncrl.store.checkpoint import Best, Checkpoint, CheckpointError
from asyncrl.store.document import DOCUMENT, FORMAT
from asyncrl.store.rows import Writer
from asyncrl.store.run_directory import RunDirectory
from asyncrl.system.files import read_regular

FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0  # seconds between attempts, doubled by each failure
CHECK_SECONDS = 5.0  # between two looks at whether another program removed or changed a file
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
    """Writes rows, run.json and checkpoints; where a write fails it retries with backoff instead of raising."""

    def __init__(self, run: Path, patience: float) -> None:
        """Open a run's directory; ``gave_up`` is True after ``patience`` seconds of failed checkpoints.

        Raises:
            OSError: there is no such directory.
        """
        super().__init__(run)
        self._directory = RunDirectory(run)
        self.failed = self.lost = 0  # attempts; rows
        self.reason = ""  # why writes fail at present; empty: they succeed
        self.saved: int | None = None  # step of the last checkpoint
        self._patience = patience
        self._pending_rows: dict[str, deque[Mapping[str, Any]]] = {}
        self._is_document_pending, self._written = False, b""  # the bytes of the last run.json
        self._best: Best | None = None  # the best checkpoint, also where its mark is not written yet
        self._is_best_pending = self._is_checkpoint_missing = False
        self._write_backoff, self._save_backoff = Backoff(), Backoff()
        self._outage_start = self._checked = 0.0
        self._incidents: list[str] = []
        self._damaged: set[str] = set()  # of which damage was reported

    def append(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Add rows to ``<name>.jsonl``, now or at a later retry."""
        pending = self._pending_rows.setdefault(name, deque())
        room = max(0, BACKLOG - len(pending))
        pending.extend(rows[:room])
        self.lost += len(rows[room:])
        self.retry()

    def update_document(self, **changes: object) -> None:
        """Replace top-level entries of ``run.json``, now or at a later retry."""
        self._document = {**(self._document or {}), **changes}
        self._is_document_pending = True
        self.retry()

    def begin(self, **document: object) -> None:
        """Write all of ``run.json`` and open the files of earlier sessions; raise OSError where that fails.

        From here on nothing is read from ``run.json``: its contents are in memory, and each write is a whole one.
        """
        self._document = {"format": FORMAT, **document}
        self._write_document()
        self._best = checkpoints.best(self.run)
        for path in self.run.glob("*.jsonl"):
            self._file(path.stem).restore()

    def retry(self, now: bool = False) -> None:
        """Write everything that is pending if the delay is over, or ``now``; check the files now and then."""
        if not (now or self._write_backoff.may_try):
            return
        is_check_due = now or time.monotonic() - self._checked >= CHECK_SECONDS
        if not (is_check_due or self.waiting):
            return
        try:
            is_check_due |= self._ensure_directory()
        except OSError as error:
            self._record_failure(self._write_backoff, error)
            return
        writes: list[Callable[[], None]] = [partial(self._write_rows, name) for name in self._pending_rows]
        if is_check_due:
            self._checked = time.monotonic()
            writes += [*(file.restore for file in self._files.values()), self._check_document, self._check_checkpoints]
        failed = None
        for write in (*writes, self._write_best, self._write_document_if_pending):
            try:
                write()
            # Another file may still have room: the limit may be that of one file.
            except OSError as error:
                failed = error
        if failed is not None:
            self._record_failure(self._write_backoff, failed)
        else:
            self._record_success(self._write_backoff)

    def _ensure_directory(self) -> bool:
        if not self._directory.ensure():
            return False
        self._report(self.run.name, "was missing, or without its lock; it was created again")
        self._checked = 0.0  # its files may be missing, too
        return True

    def _check_document(self) -> None:
        try:
            is_intact = read_regular(self.run / DOCUMENT, MAX_OBJECT_BYTES) == self._written
        except OSError:
            is_intact = False
        if not (is_intact or self._is_document_pending):
            self._report(DOCUMENT, "was missing or changed; it was written again")
            self._is_document_pending = True

    def _check_checkpoints(self) -> None:
        if self.saved is not None and not checkpoints.exists(self.run, self.saved):
            self._report(
                "checkpoints", f"was removed or replaced: it had no checkpoint of step {self.saved}; one is saved"
            )
            self._is_checkpoint_missing = True
        elif self._best is not None and checkpoints.best(self.run) != self._best:
            self._is_best_pending = True

    def _write_rows(self, name: str) -> None:
        rows = self._pending_rows[name]
        while rows:
            batch = tuple(islice(rows, BATCH))
            super().append(name, *batch)
            for _ in batch:
                rows.popleft()

    def _write_best(self) -> None:
        if self._is_best_pending and self._best is not None:
            try:
                checkpoints.mark_best(self.run, *self._best)
            except CheckpointError:  # it was pruned or removed meanwhile
                self._best = None
        self._is_best_pending = False

    def _write_document_if_pending(self) -> None:
        if self._is_document_pending:
            self._write_document()

    def _write_document(self) -> None:
        super()._write_document()
        self._is_document_pending, self._written = False, self._document_text()

    @property
    def waiting(self) -> int:
        """Return how many rows are pending; run.json counts as one, the best checkpoint's name as one."""
        rows = sum(map(len, self._pending_rows.values()))
        return rows + self._is_document_pending + self._is_best_pending

    def save(self, checkpoint: Checkpoint, keep: int) -> bool:
        """Save a checkpoint, and return whether that succeeded; see ``checkpoint.save``."""
        try:
            self._ensure_directory()
            self._check_checkpoints()
            checkpoints.save(self.run, checkpoint, keep)
        except OSError as error:
            self._record_failure(self._save_backoff, error)
            return False
        self.saved, self._is_checkpoint_missing = checkpoint.step, False
        self._record_success(self._save_backoff)
        return True

    def mark_if_best(self, step: int, score: float) -> None:
        """Mark the checkpoint of a step as the best if its score is above that of the best, now or at a later retry."""
        if self._best is None or score > self._best.score:
            self._best, self._is_best_pending = Best(step, score), True
            self.retry()

    @property
    def should_retry_save(self) -> bool:
        """Return whether the last checkpoint failed, and the delay after it is over, or whether it was removed."""
        return self._save_backoff.may_try and (
            self._save_backoff.failing_since is not None or self._is_checkpoint_missing
        )

    @property
    def gave_up(self) -> bool:
        """Return whether checkpoints have failed for longer than the patience."""
        since = self._save_backoff.failing_since
        return since is not None and time.monotonic() - since >= self._patience

    def pop_incidents(self) -> list[str]:
        """Return descriptions of outages that are over and of damaged files, each once."""
        incidents, self._incidents = self._incidents, []
        return incidents

    def close(self) -> None:
        """Close the files, and release the lock of a directory that was created again."""
        super().close()
        self._directory.close()

    def _report(self, name: str, damage: str) -> None:
        if name not in self._damaged:
            self._damaged.add(name)
            self._incidents.append(f"{name} {damage}")
            warnings.warn(f"{self.run}: {name} {damage}.", stacklevel=3)

    def _record_failure(self, backoff: Backoff, error: OSError) -> None:
        if not self.reason:
            self._outage_start, self.reason = time.monotonic(), error.strerror or str(error)
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
            self._incidents.append(f"the run could not be written for {seconds:.0f} s ({self.reason}); {lost}")
            self.reason = ""
