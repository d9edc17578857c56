"""One worker's slot in the pool: its present process, the reader of its pipe, and its recent failures."""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from asyncrl.events import Event, Incident, Message, Severity, WorkerState
from asyncrl.runtime.spawn import JOIN_SECONDS, describe_exit

CLOSE_SECONDS = 1.0  # for a reader to come to the end of its pipe
STARTING = 5  # times as long as later ones the first rollout may take: the process starts, environments open
SLOW = 50  # rollouts of the usual length that a worker may make no progress for, if that is longer
QUEUED = 4  # messages of one worker that are read ahead; those after them fill its pipe, and then the worker waits


class PipeReader(threading.Thread):
    """Reads one worker's events in a thread, so that a message cut off in the middle blocks no other worker."""

    def __init__(self, pipe: "Connection[Any, Any]", arrived: threading.Event) -> None:
        """Read a pipe, and set ``arrived`` at each event and at the end."""
        super().__init__(daemon=True)
        self._messages: queue.Queue[Message] = queue.Queue(QUEUED)
        self._pipe, self._arrived = pipe, arrived
        self._is_closing = False

    def run(self) -> None:
        """Read until the pipe is closed."""
        with suppress(EOFError, OSError):
            while not self._is_closing:
                self._messages.put(self._pipe.recv())
                self._arrived.set()
        self._arrived.set()

    @property
    def is_empty(self) -> bool:
        """Return whether no event is there to be taken."""
        return self._messages.empty()

    def take(self) -> Iterator[Event]:
        """Yield the events that have been read, of as many messages as are read ahead at most."""
        for _ in range(QUEUED):
            if self.is_empty:
                return
            message = self._messages.get()
            yield from message if isinstance(message, list) else [message]

    def close(self) -> None:
        """Close the pipe, unless another process holds its other end and may still write; events left are lost."""
        self._is_closing = True
        deque(self.take(), maxlen=0)  # the thread may wait for room
        self.join(CLOSE_SECONDS)
        if not self.is_alive():
            self._pipe.close()


class WorkerSlot:
    """What the pool knows of one worker."""

    def __init__(self, i: int, saved: WorkerState | None) -> None:
        """Make the slot of worker ``i``, whose first process continues from a saved state."""
        self.i, self.saved = i, saved
        self.process: BaseProcess | None = None
        self.reader: PipeReader | None = None  # None: there is no process, or all its events were read
        self.process_count = 0  # processes so far
        self.restart_at: float | None = None  # when the next process is to start
        self.failures: deque[float] = deque()  # times of the recent ones
        self.progress = 0  # at the last look
        self.seconds_without_progress = self.rollout = 0.0  # seconds without progress; usual seconds of a rollout
        self.has_progressed = False  # at all
        self.hung_seconds: float | None = None  # seconds without progress, where the process was killed for that

    def begin(self, reader: PipeReader, progress: int) -> None:
        """Take in the reader of a process that has just started, and reset what was known of the one before it."""
        self.reader = reader
        self.saved, self.restart_at, self.hung_seconds = None, None, None
        self.process_count += 1
        self.progress, self.seconds_without_progress, self.rollout, self.has_progressed = progress, 0.0, 0.0, False

    def observe_progress(self, progress: int, passed: float) -> None:
        """Take in a worker's progress, ``passed`` seconds after the last look."""
        self.seconds_without_progress += passed
        if progress != self.progress:
            if self.has_progressed:  # the first rollout includes the start of the process
                self.rollout += 0.1 * (self.seconds_without_progress - self.rollout)
            self.progress, self.seconds_without_progress, self.has_progressed = progress, 0.0, True

    def patience(self, hang_seconds: float) -> float:
        """Return after how many seconds without progress the worker is taken to hang."""
        return max(hang_seconds * (1 if self.rollout else STARTING), SLOW * self.rollout)

    def close(self) -> None:
        """Close the pipe of a process that has ended."""
        if self.reader is not None:
            self.reader.close()
        self.reader = None

    def end_process(self) -> None:
        """Wait for a process that has failed, kill it if it does not exit, and close its pipe."""
        assert self.process is not None
        self.process.join(JOIN_SECONDS)
        self.process.kill()
        self.process.join()
        self.close()

    @property
    def exit_code(self) -> int | None:
        """Return the exit code of the last process; None while it runs."""
        return None if self.process is None else self.process.exitcode

    def incident(self, what: str) -> Incident:
        """Return a fatal Incident of this worker."""
        message = f"worker {self.i} {what}"
        return Incident(source="worker", severity=Severity.FATAL, message=message, worker=self.i)

    def exit_incident(self, code: int | None) -> Incident:
        """Return a fatal Incident of a process that should not have ended, with its exit code."""
        if self.hung_seconds is not None:
            return self.incident(f"hung: it finished no rollout for {self.hung_seconds:.0f} seconds")
        return self.incident(describe_exit(code) if code else "exited with code 0 before the budget was reached")

    def count_failure(self, now: float, window: float) -> int:
        """Count one more failure, and return how many there were in the last ``window`` seconds."""
        self.failures.append(now)
        while self.failures[0] < now - window:
            self.failures.popleft()
        return len(self.failures)
