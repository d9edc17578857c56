"""The parent's side: it starts the actor-learners, hears them, replaces those that fail, parks and stops them."""

import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from asyncrl.events import Event, Failure, WorkerState
from asyncrl.runtime import worker
from asyncrl.runtime.job import Job
from asyncrl.runtime.process import CONTEXT, JOIN_SECONDS, start
from asyncrl.runtime.shared import PARK, PARKED, STEPS, STOP, Shared

POLL_SECONDS = 0.1
RECENT_SECONDS = 600.0  # in which a worker's failures are counted
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0  # seconds before a failed worker is replaced, doubled by each recent failure
STARTING = 5  # times as long as a step may take, the first one may: a process starts, environments open
SLOW = 50  # rollouts of the usual length that a worker may stand still, if that is longer
STOP_SECONDS = 8.0  # for the rollout in hand, once all were asked to end


class Seat:
    """One worker's place: the process that sits in it, and what is known of those before."""

    def __init__(self, i: int, state: dict[str, Any] | None) -> None:
        """Keep a place for worker ``i``, whose first process is given the state."""
        self.i, self.state = i, state
        self.process: BaseProcess | None = None
        self.pipe: Connection | None = None  # None: nobody is there, or it has said all
        self.started = 0  # processes so far
        self.due: float | None = None  # when the next one is to start
        self.failures: deque[float] = deque()  # when, of the recent ones
        self.steps, self.moved, self.rollout = 0, 0.0, 0.0  # seen last; when; seconds that a rollout usually takes

    def saw(self, steps: int, now: float) -> None:
        """Take in a worker's count of steps."""
        if steps != self.steps:
            self.rollout += 0.1 * (now - self.moved - self.rollout)
            self.steps, self.moved = steps, now

    def delay(self, now: float) -> float:
        """Count a failure, and return how long to wait before the next try."""
        while self.failures and self.failures[0] < now - RECENT_SECONDS:
            self.failures.popleft()
        self.failures.append(now)
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (len(self.failures) - 1))


class Crew:
    """All actor-learners of a run, as a context manager that leaves no process behind."""

    def __init__(self, job: Job, shared: Shared, states: list[dict[str, Any]] | None = None) -> None:
        """Prepare; nothing starts before the context is entered.

        Args:
            job: the run's parts.
            shared: its memory.
            states: each worker's state from an earlier session.
        """
        self.shared = shared
        self.states: dict[int, dict[str, Any]] = {}  # the latest of each worker
        self._job = job
        self._seats = [Seat(i, states[i] if states else None) for i in range(shared.workers)]
        self._stopping: float | None = None  # since when

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
        self.shared.set_parked(seat.i, False)  # as a predecessor may have left it
        ours, theirs = CONTEXT.Pipe(duplex=False)
        args = (seat.i, self._job, self.shared, theirs, seat.state, seat.started)
        seat.process = start(worker.main, args, f"asyncrl-{seat.i}", self._job.torch_threads)
        theirs.close()
        seat.pipe, seat.state, seat.due = ours, None, None
        seat.started += 1
        seat.steps, seat.moved, seat.rollout = int(self.shared.counters[seat.i, STEPS]), time.monotonic(), 0.0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End every worker: at its own pace where it was asked to stop or is done, at once after an error."""
        deadline = time.monotonic() + (JOIN_SECONDS if kind is None else 0.0)
        for seat in self._seats:
            if seat.process is not None:
                seat.process.join(max(0.0, deadline - time.monotonic()))
                if seat.process.is_alive():
                    seat.process.kill()
                seat.process.join()
            if seat.pipe is not None:
                seat.pipe.close()

    @property
    def is_running(self) -> bool:
        """Say whether any worker may still say something, or is to be replaced."""
        return any(seat.pipe or seat.due for seat in self._seats)

    def hear(self, timeout: float = POLL_SECONDS) -> Iterator[Event]:
        """Yield what workers have said, waiting at most ``timeout`` seconds for the first word; replace who has failed.

        A worker that dies without a word, or stands still for too long, is reported as a Failure.
        """
        seated = [seat for seat in self._seats if seat.pipe]
        ends = {
            seat.process.sentinel for seat in seated if seat.process
        }  # an environment's own children keep pipes open
        wait([*ends, *(seat.pipe for seat in seated if seat.pipe)], timeout)
        for seat in seated:
            yield from self._listen(seat)
        for seat in self._seats:
            yield from self._look_after(seat)

    def _listen(self, seat: Seat) -> Iterator[Event]:
        assert seat.pipe is not None
        assert seat.process is not None
        is_dead = not seat.process.is_alive()  # asked first: what it said before it died is in the pipe
        try:
            while seat.pipe.poll():
                event = seat.pipe.recv()
                if isinstance(event, WorkerState):
                    self.states[seat.i] = event.state
                elif isinstance(event, Failure):
                    yield self._fail(seat, event)
                    return
                else:
                    yield event
        except (EOFError, OSError):
            is_dead = True
        if is_dead:
            seat.process.join(JOIN_SECONDS)
            code = seat.process.exitcode
            if code:  # None: it has said all, and is slow to go
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                yield self._fail(seat, Failure(seat.i, f"worker {seat.i} died without a word ({how})", ""))
            else:
                self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        if seat.pipe is not None:
            seat.pipe.close()
        seat.pipe = None

    def _fail(self, seat: Seat, failure: Failure) -> Failure:
        """Have a failed worker replaced, unless that would not help; return what is to be told."""
        self._leave(seat)
        assert seat.process is not None
        seat.process.join(JOIN_SECONDS)
        seat.process.kill()
        now = time.monotonic()
        delay = seat.delay(now)
        is_hopeless = failure.traceback and not self.shared.T  # nobody ever made a step: a mistake, not an accident
        if is_hopeless or len(seat.failures) > self._job.restarts:
            return failure
        seat.due = now + delay
        return failure._replace(is_final=False)

    def _look_after(self, seat: Seat) -> Iterator[Event]:
        """Start who is due; end who hangs."""
        now = time.monotonic()
        is_ending = self._stopping is not None or self.shared.T >= self._job.budget
        if seat.due is not None:
            if is_ending:
                seat.due = None
            elif now > seat.due and not self.shared.is_ordered(PARK):
                self._start(seat)
        if seat.pipe is None or self.shared.counters[seat.i, PARKED]:
            seat.moved = now
            return
        seat.saw(int(self.shared.counters[seat.i, STEPS]), now)
        patience = max(self._job.hang_seconds * (1 if seat.rollout else STARTING), SLOW * seat.rollout)
        if self._stopping is not None:
            patience = min(patience, STOP_SECONDS)
        still = now - max(seat.moved, self._stopping or 0.0)
        if still > patience:
            assert seat.process is not None
            seat.process.kill()
            if self._stopping is None:
                reason = f"worker {seat.i} hung: it made no step for {still:.0f} seconds"
                yield self._fail(seat, Failure(seat.i, reason, ""))
            else:
                self._leave(seat)

    def park(self) -> Iterator[Event]:
        """Bring all workers to a stand between two rollouts, yielding what they say; ``states`` is then up to date."""
        self.shared.order(PARK, True)
        while any(seat.pipe and not self.shared.counters[seat.i, PARKED] for seat in self._seats):
            yield from self.hear(timeout=0.01)
        yield from self.hear(timeout=0)

    def release(self) -> None:
        """Let parked workers go on."""
        self.shared.order(PARK, False)

    def stop(self) -> None:
        """Ask all workers to end after the rollout in hand; those that have not after a while are ended."""
        self._stopping = self._stopping or time.monotonic()
        self.shared.order(STOP, True)
