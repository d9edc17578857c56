"""The first and the last writes of a session, where a write may fail."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asyncrl.errors import Exit, RunFailed
from asyncrl.store.retrying_writer import RetryingWriter
from asyncrl.training.tracking import TrackedWriter

WAIT_SECONDS = 0.1


def begin(run: Path, patience: float, document: Mapping[str, Any]) -> RetryingWriter:
    """Write run.json and return the writer of a session; raise RunFailed where that fails."""
    try:
        is_tracked = document["config"].get("trackers")
        writer = TrackedWriter(run, patience) if is_tracked else RetryingWriter(run, patience)
        writer.begin(**document)
    except OSError as error:
        raise RunFailed(run, f"{run} cannot be written: {error.strerror or error}", Exit.DISK_FULL) from None
    return writer


def save(writer: RetryingWriter, save_once: Callable[[], bool], may_wait: Callable[[], bool]) -> bool:
    """Save the last checkpoint; on a full disk wait for room, but only while ``may_wait()``; return whether it is."""
    while not save_once():
        while not (writer.should_retry_save or writer.gave_up) and may_wait():
            time.sleep(WAIT_SECONDS)
        if writer.gave_up or not may_wait():
            return False
    return True


def flush(writer: RetryingWriter, patience: float, may_wait: Callable[[], bool]) -> None:
    """Write everything that is pending; wait for at most ``patience`` seconds, and only while ``may_wait()``."""
    deadline = time.monotonic() + patience
    writer.retry(now=True)
    while writer.waiting and time.monotonic() < deadline and may_wait():
        time.sleep(WAIT_SECONDS)
        writer.retry()
