"""How a training session ends: by its budget, by a signal, from Python, or by a failure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncrl.errors import STOPS, Exit, RunFailed, Stopped
from asyncrl.events import Incident, Severity
from asyncrl.store.document import Status
from asyncrl.system.stop_signals import StopSignals
from asyncrl.text import error_text, traceback_text

NOTHING_LEARNED = Incident(
    source="session",
    severity=Severity.FATAL,
    message="nothing was learned: no update was applied, since no gradient was finite; "
    "look for NaN, infinities or very large numbers in rewards and observations",
)


class WorkersLost(Exception):
    """The process of a simulated run has died: the run must go back to its last checkpoint."""


class Ending:
    """The first reason for the end of a session, and the status that it gives the run."""

    def __init__(self, stop_workers: Callable[[], None]) -> None:
        """Call ``stop_workers`` once there is a reason to end."""
        self.signals = StopSignals(STOPS, stop_workers)
        self.failure: Incident | None = None
        self._code = Exit.WORKER_FAILED
        self._stop_workers = stop_workers
        self._stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """End on request."""
        self._stop_reason = self._stop_reason or reason
        self._stop_workers()

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """End by a KeyboardInterrupt that is being handled; raise it again unless it is a second signal."""
        self.stop("KeyboardInterrupt")
        yield
        if self.signals.received is None:
            raise KeyboardInterrupt

    def fail(self, incident: Incident, code: Exit = Exit.WORKER_FAILED) -> None:
        """End with a failure and an exit code; only the first failure counts."""
        if self.failure is None:
            self.failure, self._code = incident.bounded(), code
        self._stop_workers()

    def fail_with(self, error: Exception) -> None:
        """End with an exception that is being handled."""
        message, trace = error_text(error), traceback_text(error)
        self.fail(Incident(source="session", severity=Severity.FATAL, message=message, traceback=trace))

    @property
    def is_stop_requested(self) -> bool:
        """Return whether a signal or a request came."""
        return self.signals.received is not None or self._stop_reason is not None

    @property
    def must_end(self) -> bool:
        """Return whether there is any reason to end."""
        return self.failure is not None or self.is_stop_requested

    def status(self, is_complete: bool) -> tuple[Status, str | None]:
        """Return the run's status and the reason for it."""
        if self.failure is not None:
            return Status.FAILED, self.failure.message
        if self.is_stop_requested and not is_complete:
            received = self.signals.received
            return Status.INTERRUPTED, self._stop_reason if received is None else received.name
        return Status.FINISHED, None

    def raise_if_early(self, run: Path, is_complete: bool) -> None:
        """Raise RunFailed after a failure, and Stopped after a signal, unless the budget was met."""
        if self.failure is not None:
            raise RunFailed(run, self.failure.message, self._code)
        if self.signals.received is not None and not is_complete:
            raise Stopped(run, STOPS[self.signals.received])
