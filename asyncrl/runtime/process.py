"""One worker process: it drives an actor-learner at full speed until the budget is met or the parent asks it to end."""

import atexit
import gc
import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from asyncrl.events import WorkerState
from asyncrl.runtime.control import Control
from asyncrl.runtime.core_scheduler import CoreScheduler
from asyncrl.runtime.hosted_worker import HostedWorker, describe_failure
from asyncrl.runtime.job import Job
from asyncrl.runtime.profiler import Profiler
from asyncrl.runtime.protocols import WorkerParameters
from asyncrl.runtime.spawn import enter

PARKED_SECONDS = 0.002  # between two checks of its orders by a parked worker
MOST_SKIPPED = 10_000  # updates in a row whose gradient is not finite; by then the parent has looked at the weights


def main(
    worker: int,
    job: Job,
    parameters: WorkerParameters,
    control: Control,
    pipe: "Connection[Any, Any]",
    saved: WorkerState | None = None,
    replaced: int = 0,
) -> None:
    """Run a worker in this process, and send an Incident to the parent where it fails.

    Args:
        worker: which of the W.
        job: the run's parts.
        parameters: θ, θ⁻, g, T.
        control: orders and flags.
        pipe: to the parent.
        saved: the state of an earlier session's worker; None if there is none.
        replaced: how many processes have failed in its place; it draws other random numbers than they did.
    """
    enter(job.torch_threads)
    process = None
    try:
        process = WorkerProcess(worker, job, parameters, control, pipe, saved, replaced)
        gc.collect()
        gc.freeze()  # the collector need not visit these objects again and again
        process.run()
        with suppress(Exception):  # all events have been sent
            process.environments.close()
        # Python's own end would visit all objects: a third of a second of each worker, while the parent waits.
        atexit._run_exitfuncs()
        os._exit(0)
    # an environment may raise anything; Ctrl-C does not reach this process
    except BaseException as error:
        incident = describe_failure(worker, error, process)
        with suppress(OSError):  # the parent is gone
            if process:
                process.report()  # what was done before the error counts
            pipe.send(incident)
        os._exit(1)  # whatever threads an environment may have left


class WorkerProcess(HostedWorker):
    """The worker of this process: it drives the loop, and takes turns on cores, reports and pauses."""

    pipe: "Connection[Any, Any]"

    def __init__(
        self,
        worker: int,
        job: Job,
        parameters: WorkerParameters,
        control: Control,
        pipe: "Connection[Any, Any]",
        saved: WorkerState | None = None,
        replaced: int = 0,
    ) -> None:
        """See main."""
        super().__init__(worker, job, parameters, control, pipe, saved, replaced)
        self._scheduler = CoreScheduler(control, worker, job.cores)
        self.profiler = Profiler(job.profile)

    def run(self) -> None:
        """Repeat updates until T > T_max or the parent asks for the end."""
        while self._is_wanted():
            self.update()
            if self.reporter.is_due:
                self.report()
        self.report()
        self.send_state()
        self.pipe.close()

    def _is_wanted(self) -> bool:
        """Wait for the end of a pause and for this worker's turn, and say whether there is more to do."""
        has_turn = False
        while True:
            if not self._may_continue:
                return False
            T = self.parameters.T
            if T >= self.control.pause_at:
                self._park(T)
                has_turn = False
            elif has_turn:
                return True
            else:
                has_turn = True
                # T and the orders are looked at again after a wait only.
                has_waited = self._scheduler.wait_for_turn()
                self.profiler.end("waiting")
                if not has_waited:
                    return True

    @property
    def _may_continue(self) -> bool:
        return self.parameters.T < self.job.budget and not self.control.is_stopping

    def update(self) -> None:
        """Drive one update, and report what ended in it."""
        phases = self.actor.update()
        while True:
            try:
                self.profiler.end(next(phases))
            except StopIteration as done:
                self.reporter.add(done.value)
                break
        if self.reporter.skipped_in_a_row == MOST_SKIPPED:
            raise FloatingPointError(f"{MOST_SKIPPED} updates in a row without a finite gradient")
        self.profiler.end("events")

    def report(self, seconds: dict[str, float] | None = None) -> None:
        """Send what was done since the last report."""
        super().report(self.profiler.take())
        self.profiler.end("events")

    def send_state(self) -> None:
        """Send what a later session needs."""
        self.pipe.send(self.state())

    def _park(self, T: int) -> None:
        """Park between two rollouts at T, all events sent, until the parent releases the workers."""
        pause = self.control.pause
        self.report()
        self.send_state()
        self.profiler.end("events")
        self._scheduler.leave()
        self.control.set_parked(self.worker, pause)
        # Another worker's last rollout may meet the budget; there is no pause then that would be ended.
        while self.control.pause == pause and T >= self.control.pause_at and self._may_continue:
            time.sleep(PARKED_SECONDS)
        self.profiler.end("waiting")
        self.control.set_parked(self.worker, 0)
