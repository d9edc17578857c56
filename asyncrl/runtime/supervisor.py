"""The parent's side of worker processes: start them, read their events, replace those that fail, park and stop them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from asyncrl.events import Event, Incident, Severity, WorkerState
from asyncrl.runtime import process
from asyncrl.runtime.control import NEVER, Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.protocols import WorkerParameters
from asyncrl.runtime.spawn import CONTEXT, JOIN_SECONDS, NO_MAIN_GUARD, start
from asyncrl.runtime.worker_slot import CLOSE_SECONDS, PipeReader, WorkerSlot

POLL_SECONDS = 0.1
MAX_CHECK_GAP = 1.0  # of the time between two checks, the most that counts as no progress: the parent may be suspended
TURN_SECONDS = 0.25  # of events in one turn of the parent's loop; the rest follows in the next turn
RECENT_SECONDS = 600.0  # in which a worker's failures are counted
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0  # seconds before a failed worker is replaced, doubled by each recent failure
EXITING_SECONDS = 0.05  # for a process that is just exiting
STOP_SECONDS = 8.0  # for the current rollout, after all were asked to end
START_STOP_SECONDS = 3.0  # the same for a process that has not finished a rollout: it may still import its libraries


class ProcessPool:
    """A WorkerPool of one process for each worker, as a context manager that leaves no process behind."""

    def __init__(
        self,
        job: Job,
        parameters: WorkerParameters,
        control: Control,
        states: Mapping[int, WorkerState] | None = None,
        workers: Iterable[int] | None = None,
    ) -> None:
        """Prepare; workers start when the context is entered.

        Args:
            job: the run's parts.
            parameters: θ, θ⁻, g, T.
            control: orders and flags.
            states: those of workers of an earlier session.
            workers: their numbers; None: all.
        """
        self.states = dict(states or {})  # the latest of each worker
        self.job, self._parameters, self.control = job, parameters, control
        self._slots = [WorkerSlot(i, self.states.get(i)) for i in workers or range(control.workers)]
        self._sent_state: set[int] = set()  # workers that have sent their state since the last pause ended
        self._first, self._arrived = 0, threading.Event()  # _first: the slot whose events are read first next time
        self._is_stopping, self._looked = False, time.monotonic()

    def __enter__(self) -> Self:
        """Start the workers: all, or none."""
        try:
            for slot in self._slots:
                self._start(slot)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _start(self, slot: WorkerSlot) -> None:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        main, args = self._call(slot, theirs)
        try:
            # Stored at once, so that ``__exit__`` ends it also if a second Ctrl-C comes in the next lines.
            slot.process = start(main, args, f"asyncrl-{slot.i}", self.job.torch_threads)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader = PipeReader(ours, self._arrived)
        try:
            reader.start()
        except RuntimeError as error:  # the system allows no more threads
            slot.process.kill()
            slot.process.join()
            raise OSError(str(error)) from error
        slot.begin(reader, self._progress(slot.i))

    def _call(self, slot: WorkerSlot, pipe: "Connection[Any, Any]") -> tuple[Callable[..., None], tuple[Any, ...]]:
        """Return the function that a slot's process runs, and its arguments."""
        shared = self.job, self._parameters, self.control
        return process.main, (slot.i, *shared, pipe, slot.saved, slot.process_count)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Wait for the workers to exit, then kill those that remain; after an error, kill all at once."""
        deadline = time.monotonic() + (JOIN_SECONDS if kind is None else 0.0)
        try:
            for child in self.processes:
                child.join(max(0.0, deadline - time.monotonic()))
        finally:  # also where a second Ctrl-C comes in between
            for child in self.processes:
                child.kill()
            for child in self.processes:
                child.join()
        for slot in self._slots:
            if slot.reader is not None:
                slot.reader.close()

    @property
    def processes(self) -> list[BaseProcess]:
        """Return the last process of each worker that has started."""
        return [slot.process for slot in self._slots if slot.process is not None]

    @property
    def slots(self) -> tuple[WorkerSlot, ...]:
        """Return what is known of each worker; to be read only."""
        return tuple(self._slots)

    @property
    def is_running(self) -> bool:
        """Return whether any worker may still send an event, or is to be replaced."""
        return any(slot.reader is not None or slot.restart_at is not None for slot in self._slots)

    @property
    def is_parked(self) -> bool:
        """Return whether all workers that have not ended are parked, and ``states`` is up to date."""
        return all(self.control.is_parked(s.i) and s.i in self._sent_state for s in self._slots if s.reader)

    @property
    def _is_ending(self) -> bool:
        return self._is_stopping or self._parameters.T >= self.job.budget

    def _progress(self, worker: int) -> int:
        """Return a number that changes as long as a worker makes progress."""
        return self._parameters.steps(worker) + int(self.control.heartbeats[worker])

    def events(self, timeout: float = POLL_SECONDS) -> Iterator[Event]:
        """Yield the workers' events, after waiting at most ``timeout`` seconds for the first; replace failed workers.

        One call reads for TURN_SECONDS at most. A worker that fails, or makes no progress for too long, is an Incident.
        """
        self._arrived.wait(timeout)
        self._arrived.clear()
        deadline = time.monotonic() + TURN_SECONDS
        for slot in self._slots[self._first :] + self._slots[: self._first]:
            if time.monotonic() > deadline:
                self._first = self._slots.index(slot)
                self._arrived.set()
                break
            if slot.reader is not None:
                yield from self._read(slot, slot.reader)
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, MAX_CHECK_GAP), now
        for slot in self._slots:
            if slot.restart_at is not None:
                yield from self._start_replacement_if_due(slot, now)
            elif slot.reader is not None:
                self._kill_if_hung(slot, passed)

    def _read(self, slot: WorkerSlot, reader: PipeReader) -> Iterator[Event]:
        assert slot.process is not None
        is_gone = not reader.is_alive()  # before the queue is emptied: no event can follow
        if not slot.process.is_alive() and reader.is_empty:
            reader.join(CLOSE_SECONDS)  # not for ever: an environment's child process may keep the pipe open
            is_gone = reader.is_empty
        for event in reader.take():
            if isinstance(event, WorkerState):
                self.states[event.worker] = event
                self._sent_state.add(slot.i)
            elif isinstance(event, Incident) and event.is_fatal:
                yield self._handle_failure(slot, event, may_be_external=False)
                return
            else:
                yield event
        if is_gone and reader.is_empty:
            yield from self._handle_exit(slot)

    def _handle_exit(self, slot: WorkerSlot) -> Iterator[Event]:
        """Tell an exit at the end of the run from a failure."""
        assert slot.process is not None
        slot.process.join(EXITING_SECONDS if self._is_ending else JOIN_SECONDS)  # __exit__ waits longer
        code = slot.process.exitcode
        was_stopped = slot.hung_seconds is not None and self._is_stopping  # it was killed after STOP_SECONDS
        if was_stopped or (not code and self._is_ending):  # exit code 0, or None: all was sent, it is still exiting
            slot.close()
            self.control.clear(slot.i)
            return
        yield self._handle_failure(slot, slot.exit_incident(code), may_be_external=slot.hung_seconds is None)

    def _handle_failure(self, slot: WorkerSlot, incident: Incident, may_be_external: bool) -> Incident:
        """Schedule a replacement of a failed worker, unless it would not help; return the incident to report."""
        slot.end_process()
        self.control.clear(slot.i)
        if self._is_ending:
            return incident._replace(severity=Severity.RECOVERED)
        self.states.pop(slot.i, None)  # the replacement begins new episodes, not from this state
        now, restarts = time.monotonic(), self.job.restarts
        window = max(RECENT_SECONDS, (restarts + 2) * slot.patience(self.job.hang_seconds))
        failures = slot.count_failure(now, window)
        cannot_recover = not may_be_external and self._parameters.T == 0  # an error before any step would occur again
        cannot_recover = cannot_recover or slot.exit_code == NO_MAIN_GUARD
        if failures > restarts or cannot_recover:
            return incident
        slot.restart_at = now + min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 10))
        return incident._replace(severity=Severity.RECOVERED, is_replaced=True)

    def _start_replacement_if_due(self, slot: WorkerSlot, now: float) -> Iterator[Event]:
        """Start a process in place of a failed one, once its delay is over."""
        assert slot.restart_at is not None
        if self._is_ending:
            slot.restart_at = None
        elif now > slot.restart_at and self.control.pause_at > 0:
            try:
                self._start(slot)
            except OSError as error:  # such as no memory
                slot.restart_at = None
                incident = slot.incident(f"cannot start: {error}")
                yield self._handle_failure(slot, incident, may_be_external=True)

    def _kill_if_hung(self, slot: WorkerSlot, passed: float) -> None:
        """Kill a worker that hangs; its exit is then handled like any other."""
        if self.control.is_parked(slot.i) and not self._is_stopping:
            slot.seconds_without_progress = 0.0
            return
        slot.observe_progress(self._progress(slot.i), passed)
        patience = slot.patience(self.job.hang_seconds)
        if self._is_stopping:
            patience = min(patience, STOP_SECONDS if slot.has_progressed else START_STOP_SECONDS)
        if slot.seconds_without_progress > patience:
            assert slot.process is not None
            slot.hung_seconds = slot.hung_seconds or slot.seconds_without_progress
            slot.process.kill()

    def park(self) -> Iterator[Event]:
        """Park all workers between two rollouts, yielding their events; ``states`` is then up to date."""
        self.control.park()
        while not self.is_parked:
            yield from self.events(timeout=0.01)

    def release(self, pause_at: int = NEVER) -> None:
        """Let parked workers continue, and park again, each after its current rollout, once T >= ``pause_at`` steps."""
        self._sent_state.clear()
        self.control.release(pause_at)

    def stop(self) -> None:
        """Ask all workers to end after the current rollout; those still running after STOP_SECONDS are killed."""
        if not self._is_stopping:
            for slot in self._slots:
                slot.seconds_without_progress = 0.0
        self._is_stopping = True
        self.control.stop()
