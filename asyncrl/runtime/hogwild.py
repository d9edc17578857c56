"""The parent's side: it starts the actor-learners, hears them, parks and stops them. It alone is told everything."""

import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, cast

from asyncrl.events import Event, Failure, WorkerState
from asyncrl.runtime import worker
from asyncrl.runtime.job import Job
from asyncrl.runtime.process import CONTEXT, JOIN_SECONDS, start
from asyncrl.runtime.shared import PARK, PARKED, STOP, Shared

POLL_SECONDS = 0.1


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
        self._job, self._given = job, states
        self._processes: list[BaseProcess] = []
        self._pipes: dict[Connection, int] = {}

    def __enter__(self) -> "Crew":
        """Start the workers: all, or none."""
        try:
            for i in range(self.shared.workers):
                self._start(i)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _start(self, i: int) -> None:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        args = (i, self._job, self.shared, theirs, self._given[i] if self._given else None)
        self._processes.append(start(worker.main, args, f"asyncrl-{i}", self._job.torch_threads))
        theirs.close()
        self._pipes[ours] = i

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """End every worker: at its own pace where it was asked to stop or is done, at once after an error."""
        deadline = time.monotonic() + (JOIN_SECONDS if kind is None else 0.0)
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
            process.join()
        for pipe in self._pipes:
            pipe.close()

    @property
    def is_running(self) -> bool:
        """Say whether any worker may still say something."""
        return bool(self._pipes)

    def hear(self, timeout: float = POLL_SECONDS) -> Iterator[Event]:
        """Yield what workers have said, waiting at most ``timeout`` seconds for the first word.

        A worker that dies without a word is reported as a Failure.
        """
        for pipe in cast("list[Connection]", wait(list(self._pipes), timeout)):
            i = self._pipes[pipe]
            try:
                while pipe.poll():
                    event = pipe.recv()
                    if isinstance(event, WorkerState):
                        self.states[i] = event.state
                    elif isinstance(event, Failure):
                        self._drop(pipe)
                        yield event
                        break
                    else:
                        yield event
            except (EOFError, OSError):
                self._drop(pipe)
                process = self._processes[i]
                process.join(JOIN_SECONDS)
                code = process.exitcode
                if code:  # None: it has said all, and is slow to go
                    how = f"signal {-code}" if code < 0 else f"exit code {code}"
                    yield Failure(i, f"worker {i} died without a word ({how})", "")

    def _drop(self, pipe: Connection) -> None:
        del self._pipes[pipe]
        pipe.close()

    def park(self) -> Iterator[Event]:
        """Bring all workers to a stand between two rollouts, yielding what they say; ``states`` is then up to date."""
        self.shared.order(PARK, True)
        while any(not self.shared.counters[i, PARKED] for i in self._pipes.values()):
            yield from self.hear(timeout=0.01)
        yield from self.hear(timeout=0)

    def release(self) -> None:
        """Let parked workers go on."""
        self.shared.order(PARK, False)

    def stop(self) -> None:
        """Ask all workers to end after the rollout in hand."""
        self.shared.order(STOP, True)
