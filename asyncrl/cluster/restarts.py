"""The process that trains on a cluster and has the parameter server: it is started again where it was lost."""

import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from asyncrl.cluster.repeating import backoff
from asyncrl.errors import STOPS, Exit, InputError, RunFailed, Stopped
from asyncrl.events import Incident, Severity
from asyncrl.runtime.spawn import describe_exit
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import runs
from asyncrl.store.checkpoint import CheckpointError
from asyncrl.store.document import DOCUMENT, PROGRESS_COLUMNS, Status, read_document
from asyncrl.store.rows import Writer
from asyncrl.system.child_command import Process, send_request, start_command

COMMAND = "train-on-cluster"  # reads a request with ``parent``
REPEATS = 3  # restarts in a row after an exception: it may well occur again
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds before a restart, doubled by each loss in a row
POLL_SECONDS = 0.1


class Loss(NamedTuple):
    """Why a process did not end in order."""

    reason: str
    is_exception: bool


class TrainingProcess:
    """One process after another, as a context manager; this process passes its stop signals on to the present one."""

    def __init__(self) -> None:
        """Prepare."""
        self.received: signal.Signals | None = None  # the first stop signal
        self._process: Process | None = None
        self._pending: list[int] = []  # signals that came before the process started
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, but not for signals that are ignored: nohup has SIGHUP ignored."""
        handled = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._pass_on) for number in handled}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Put the old handlers back, and kill what is left."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if self._process is None:
            self._pending.append(number)
        else:
            self._process.send_signal(number)

    def run(self, request: Mapping[str, Any]) -> int:
        """Start a process, wait for its end, and return its exit code; a negative code is a signal's."""
        process = self._process = start_command(COMMAND)
        while self._pending:
            process.send_signal(self._pending.pop(0))
        send_request(process, {**request, "parent": os.getpid()})
        code = process.wait()
        self._process = None
        return code

    def sleep(self, seconds: float) -> None:
        """Wait, at most until a stop signal."""
        deadline = time.monotonic() + seconds
        while self.received is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def train(run: Path, first: Mapping[str, Any], later: Mapping[str, Any], restarts: int) -> int:
    """Train a run in a process of its own to its end, and return the exit code; the process has printed the outcome.

    A process that dies, or whose session ends by an exception, is started again from the run's last checkpoint.

    Args:
        run: the run's directory.
        first: the request of the first process.
        later: that of the others, which continue the run.
        restarts: how often a process may die in a row without a new checkpoint.

    Raises:
        RunFailed: it was lost too often, or there is no checkpoint.
        Stopped: by a signal, while no process trained; there is a run to resume.
    """
    losses: Counter[int] = Counter()  # by the step of the last checkpoint
    request, before = first, _session(run)
    with TrainingProcess() as process:
        while True:
            code = process.run(request)
            if process.received is not None and code < 0:
                return _stop(run, process.received)
            # a process that continues may not even begin, for instance where there is no cluster for a moment
            has_begun = bool(losses) or _session(run) != before
            loss = _loss(run, code) if has_begun and process.received is None else None
            if loss is None and code < 0:
                when = "after" if has_begun else "before"
                reason = f"the process with the parameter server {describe_exit(code)} {when} it trained"
                raise RunFailed(run, reason, Exit.WORKER_FAILED)
            if loss is None:
                return code
            step = _last_step(run, loss)
            losses[step] += 1
            if losses[step] > (min(REPEATS, restarts) if loss.is_exception else restarts):
                raise RunFailed(run, f"the parameter server was lost too often: {loss.reason}", Exit.WORKER_FAILED)
            _report(run, f"the parameter server was lost: {loss.reason}; back to step {step:,}")
            process.sleep(backoff(FIRST_DELAY, LONGEST_DELAY, losses[step]))
            if process.received is not None:
                return _stop(run, process.received)
            request = later


def _stop(run: Path, number: signal.Signals) -> int:
    """Return the exit code of a signal; raise Stopped where there is a run that can be resumed."""
    if os.path.lexists(run / DOCUMENT):
        raise Stopped(run, STOPS[number])
    return STOPS[number]


def _session(run: Path) -> object:
    """Return the number of the run's last session; None where there is no run."""
    try:
        return read_document(run).get("sessions", 0)
    except InputError:
        return None


def _loss(run: Path, code: int) -> Loss | None:
    """Return why a process with this exit code did not end in order, by the run's document; None: it did."""
    # the document may be an old one, or that of another process
    if code == Exit.DISK_FULL or runs.is_held(run):
        return None
    try:
        document = read_document(run)
    except InputError:  # it was not written yet
        return None
    if document.get("status") == Status.RUNNING:
        return Loss(f"its process {describe_exit(code)}", is_exception=False)
    failure = document.get("failure") or {}
    # an exception has a traceback; a run that has learned nothing has none
    if failure.get("source") == "session" and failure.get("traceback"):
        return Loss(str(failure.get("reason")), is_exception=True)
    return None


def _last_step(run: Path, loss: Loss) -> int:
    """Return the step of the last checkpoint."""
    try:
        return checkpoints.load(run).step
    except CheckpointError:
        reason = f"the parameter server was lost: {loss.reason}; there is no checkpoint to go back to"
        raise RunFailed(run, reason, Exit.WORKER_FAILED) from None


def _report(run: Path, message: str) -> None:
    """Add a row to failures.jsonl, and warn."""
    with warnings.catch_warnings():
        # the same text may have been printed before
        warnings.simplefilter("always")
        warnings.warn(f"{message}.", stacklevel=2)
    incident = Incident("server", Severity.RECOVERED, message, is_replaced=True)
    document = read_document(run)
    # a full disk
    with suppress(OSError), Writer(run) as writer:
        writer.append("failures", {name: document.get(name, 0) for name in PROGRESS_COLUMNS} | incident.row())
