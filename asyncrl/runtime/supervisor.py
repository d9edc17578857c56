"""The parent's side: it starts the actor-learners, hears them, replaces those that fail, parks and stops them."""

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType

from asyncrl.events import Event, Failure, WorkerState
from asyncrl.runtime import worker
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import PARK, PARKED, STOP, Shared
from asyncrl.runtime.process import CONTEXT, JOIN_SECONDS, start
from asyncrl.runtime.worker import PARKED_SECONDS

POLL_SECONDS = 0.1
LAPSE_SECONDS = 1.0  # between two looks that count as standing still, at most: the parent may have been away itself
RECENT_SECONDS = 600.0  # in which a worker's failures are counted
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0  # seconds before a failed worker is replaced, doubled by each recent failure
STARTING = 5  # times as long as a rollout may take, the first one may: a process starts, environments open
SLOW = 50  # rollouts of the usual length that a worker may stand still, if that is longer
GOING_SECONDS = 0.05  # for a process that is just dying
STOP_SECONDS = 8.0  # for the rollout in hand, once all were asked to end


class Ear(threading.Thread):
    """Hears one process, so that a word left half said holds up nobody else."""

    def __init__(self, pipe: Connection, heard: threading.Event) -> None:
        """Hear what comes through a pipe, and set ``heard`` at each word and at the end."""
        super().__init__(daemon=True)
        self.words: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._pipe, self._heard = pipe, heard

    def run(self) -> None:
        """Listen to the end."""
        with suppress(EOFError, OSError):
            while True:
                self.words.put(self._pipe.recv())
                self._heard.set()
        self._heard.set()

    def close(self) -> None:
        """Close the pipe, unless some other process holds its end and may still write."""
        self.join(LAPSE_SECONDS)
        if not self.is_alive():
            self._pipe.close()


class Seat:
    """One worker's place: the process that sits in it, and what is known of those before."""

    def __init__(self, i: int, saved: WorkerState | None) -> None:
        """Keep a place for worker ``i``, whose first process goes on from what was saved."""
        self.i, self.saved = i, saved
        self.process: BaseProcess | None = None
        self.ear: Ear | None = None  # None: nobody is there, or it has said all
        self.started = 0  # processes so far
        self.due: float | None = None  # when the next one is to start
        self.failures: deque[float] = deque()  # when, of the recent ones
        self.progress = 0  # seen last
        self.still = self.rollout = 0.0  # seconds since then; that a rollout usually takes
        self.is_at_work = False  # whether it has got on at all
        self.hung: float | None = None  # how long it stood still, where it was ended for that

    def look(self, progress: int, passed: float) -> None:
        """Take in a worker's progress, some seconds after the last look."""
        self.still += passed
        if progress != self.progress:
            if self.is_at_work:  # the first rollout took a process's start, too
                self.rollout += 0.1 * (self.still - self.rollout)
            self.progress, self.still, self.is_at_work = progress, 0.0, True

    def patience(self, hang_seconds: float) -> float:
        """Return for how many seconds it may stand still."""
        return max(hang_seconds * (1 if self.rollout else STARTING), SLOW * self.rollout)

    def count_failure(self, now: float, window: float) -> int:
        """Count one more failure, and return how many there were in the last ``window`` seconds."""
        self.failures.append(now)
        while self.failures[0] < now - window:
            self.failures.popleft()
        return len(self.failures)


class Crew:
    """All actor-learners of a run, as a context manager that leaves no process behind."""

    def __init__(self, job: Job, shared: Shared, states: Mapping[int, WorkerState] | None = None) -> None:
        """Prepare; nothing starts before the context is entered.

        Args:
            job: the run's parts.
            shared: its memory.
            states: those of workers of an earlier session.
        """
        self.shared = shared
        self.states = dict(states or {})  # the latest of each worker
        self._job = job
        self._seats = [Seat(i, self.states.get(i)) for i in range(shared.workers)]
        self._told: set[int] = set()  # who has told its state since the last pause was ordered
        self._pauses = 0
        self._heard = threading.Event()
        self._stopping = False
        self._looked = time.monotonic()

    def __enter__(self) -> "Crew":
        """Start the workers: all, or none."""
        try:
            for seat in self._seats:
                self._start(seat)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _start(self, seat: Seat) -> None:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        args = (seat.i, self._job, self.shared, theirs, seat.saved, seat.started)
        try:
            seat.process = start(worker.main, args, f"asyncrl-{seat.i}", self._job.torch_threads)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ear = Ear(ours, self._heard)
        try:
            ear.start()
        except RuntimeError as error:  # no thread is to be had
            seat.process.kill()
            seat.process.join()
            raise OSError(str(error)) from error
        seat.ear, seat.saved, seat.due, seat.hung = ear, None, None, None
        seat.started += 1
        seat.progress, seat.still, seat.rollout = self.shared.progress(seat.i), 0.0, 0.0
        seat.is_at_work = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End every worker: at its own pace where it was asked to stop or is done, at once after an error."""
        processes = [seat.process for seat in self._seats if seat.process is not None]
        deadline = time.monotonic() + (JOIN_SECONDS if kind is None else 0.0)
        try:
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:  # also where a second Ctrl-C comes in between
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
        for seat in self._seats:
            if seat.ear is not None:
                seat.ear.close()

    @property
    def is_running(self) -> bool:
        """Say whether any worker may still say something, or is to be replaced."""
        return any(seat.ear is not None or seat.due is not None for seat in self._seats)

    @property
    def _is_ending(self) -> bool:
        return self._stopping or self.shared.T >= self._job.budget

    def hear(self, timeout: float = POLL_SECONDS) -> Iterator[Event]:
        """Yield what workers have said, waiting at most ``timeout`` seconds for the first word; replace who has failed.

        A worker that dies without a word, leaves early, or stands still for too long, is reported as a Failure.
        """
        self._heard.wait(timeout)
        self._heard.clear()
        for seat in self._seats:
            if seat.ear is not None:
                yield from self._listen(seat, seat.ear)
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, LAPSE_SECONDS), now
        for seat in self._seats:
            if seat.due is not None:
                yield from self._replace(seat, now)
            elif seat.ear is not None:
                self._watch(seat, passed)

    def _listen(self, seat: Seat, ear: Ear) -> Iterator[Event]:
        assert seat.process is not None
        is_dead = not seat.process.is_alive()
        if is_dead:
            ear.join(LAPSE_SECONDS)  # to its last word; an environment's own child may keep the pipe open
        is_gone = is_dead or not ear.is_alive()  # asked first: no word comes after that
        while not ear.words.empty():
            event = ear.words.get()
            if isinstance(event, WorkerState):
                self.states[seat.i] = event
                self._told.add(seat.i)
            elif isinstance(event, Failure) and event.is_final:
                yield self._fail(seat, event, is_accident=False)
                return
            else:
                yield event
        if is_gone:
            yield from self._bury(seat)

    def _bury(self, seat: Seat) -> Iterator[Event]:
        assert seat.process is not None
        seat.process.join(GOING_SECONDS if self._is_ending else JOIN_SECONDS)  # the end waits for all together
        code = seat.process.exitcode
        was_let_go = seat.hung is not None and self._stopping  # it had its time
        if was_let_go or (not code and self._is_ending):  # or it has said all, though it may be slow to go
            self._leave(seat)
            return
        if seat.hung is not None:
            how = f"hung: it finished no rollout for {seat.hung:.0f} seconds"
        elif code:
            how = "died without a word " + (f"(signal {-code})" if code < 0 else f"(exit code {code})")
        else:
            how = "left before the end"
        yield self._fail(seat, Failure(seat.i, f"worker {seat.i} {how}", ""), is_accident=seat.hung is None)

    def _leave(self, seat: Seat) -> None:
        if seat.ear is not None:
            seat.ear.close()
        seat.ear = None
        self.shared.leave(seat.i)

    def _fail(self, seat: Seat, failure: Failure, is_accident: bool) -> Failure:
        """Have a failed worker replaced, unless that would not help; return what is to be told."""
        assert seat.process is not None
        seat.process.join(JOIN_SECONDS)
        seat.process.kill()
        seat.process.join()
        self._leave(seat)
        if self._is_ending:
            return failure._replace(is_final=False)
        self.states.pop(seat.i, None)  # the next process does not go on from there
        now, restarts = time.monotonic(), self._job.restarts
        window = max(RECENT_SECONDS, (restarts + 2) * seat.patience(self._job.hang_seconds))  # hangs are slow to count
        failures = seat.count_failure(now, window)
        is_hopeless = not is_accident and self.shared.T == 0  # nobody has ever made a step
        if failures > restarts or is_hopeless:
            return failure
        seat.due = now + min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (failures - 1))
        return failure._replace(is_final=False, is_replaced=True)

    def _replace(self, seat: Seat, now: float) -> Iterator[Event]:
        """Start a process in a failed one's place, when it is time."""
        assert seat.due is not None
        if self._is_ending:
            seat.due = None
        elif now > seat.due and not self.shared.is_ordered(PARK):
            try:
                self._start(seat)
            except OSError as error:  # such as no memory
                seat.due = None
                yield self._fail(seat, Failure(seat.i, f"worker {seat.i} cannot start: {error}", ""), is_accident=True)

    def _watch(self, seat: Seat, passed: float) -> None:
        """End a worker that hangs; its end is then heard like any other."""
        if seat.i in self._told and self.shared.is_ordered(PARK) and not self._stopping:
            seat.still = 0.0
            return
        seat.look(self.shared.progress(seat.i), passed)
        patience = seat.patience(self._job.hang_seconds)
        if seat.still > (min(patience, STOP_SECONDS) if self._stopping else patience):
            assert seat.process is not None
            seat.hung = seat.hung or seat.still
            seat.process.kill()

    def park(self) -> Iterator[Event]:
        """Bring all workers to a stand between two rollouts, yielding what they say; ``states`` is then up to date."""
        self._told.clear()
        self._pauses += 1
        self.shared.order(PARK, self._pauses)
        parked = self.shared.counters[:, PARKED]
        while any(seat.ear and not (parked[seat.i] and seat.i in self._told) for seat in self._seats):
            yield from self.hear(timeout=0.01)

    def release(self) -> None:
        """Let parked workers go on, and see them off, so that none is taken for parked at the next pause."""
        self.shared.order(PARK, 0)
        deadline = time.monotonic() + LAPSE_SECONDS
        while self.shared.counters[:, PARKED].any() and time.monotonic() < deadline:
            time.sleep(PARKED_SECONDS)

    def stop(self) -> None:
        """Ask all workers to end after the rollout in hand; those that have not after a while are ended."""
        if not self._stopping:
            for seat in self._seats:
                seat.still = 0.0
        self._stopping = True
        self.shared.order(STOP, 1)
