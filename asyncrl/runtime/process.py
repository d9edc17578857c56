"""One worker process: it drives an actor-learner at full speed until the budget is met or the parent asks it to end."""

import atexit
import gc
import os
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import torch

from asyncrl.errors import InputError
from asyncrl.events import Incident, Severity, WorkerState
from asyncrl.runtime import worker_state
from asyncrl.runtime.action_log import LoggedEnvironments
from asyncrl.runtime.control import Control
from asyncrl.runtime.core_scheduler import CoreScheduler
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.profiler import Profiler
from asyncrl.runtime.random_streams import RandomStreams
from asyncrl.runtime.reporter import Reporter
from asyncrl.runtime.spawn import enter
from asyncrl.runtime.worker import ActorLearner
from asyncrl.text import error_text, one_line, traceback_text

PARKED_SECONDS = 0.002  # between two checks of its orders by a parked worker
MOST_SKIPPED = 10_000  # updates in a row whose gradient is not finite; by then the parent has looked at the weights


def main(
    worker: int,
    job: Job,
    parameters: SharedParameters,
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
        incident = _incident(worker, error, process)
        with suppress(OSError):  # the parent is gone
            if process:
                process.report()  # what was done before the error counts
            pipe.send(incident)
        os._exit(1)  # whatever threads an environment may have left


def _incident(worker: int, error: BaseException, process: "WorkerProcess | None") -> Incident:
    places = traceback.extract_tb(error.__traceback__)[-1:]
    reason = error_text(error) + "".join(f" ({os.path.basename(each.filename)}:{each.lineno})" for each in places)
    if isinstance(error, InputError):  # its text names the user's class and file
        reason = str(error).rstrip(".")
    return Incident(
        source="worker",
        severity=Severity.FATAL,
        message=one_line(reason),
        traceback=traceback_text(error),
        worker=worker,
        seeds=process.environments.seeds if process else (),
        steps=process.reporter.all_steps if process else 0,
    )


class WorkerProcess:
    """An actor-learner with what surrounds it in a process: restoring, turns on cores, reports, pauses."""

    def __init__(
        self,
        worker: int,
        job: Job,
        parameters: SharedParameters,
        control: Control,
        pipe: "Connection[Any, Any]",
        saved: WorkerState | None = None,
        replaced: int = 0,
    ) -> None:
        """See main."""
        self.worker, self.job, self.parameters, self.control, self.pipe = worker, job, parameters, control, pipe
        self._own_key = (job.session, worker, replaced) if replaced else (job.session, worker)
        self._key = tuple(saved.state.get("key", self._own_key)) if saved else self._own_key
        streams = RandomStreams(job.seed, self._key)
        torch.manual_seed(streams.torch_seed())  # an environment may draw from it while it is made
        self.environments = LoggedEnvironments(job.make_environments(), streams.environment_seed)
        self.actor = ActorLearner(worker, job, parameters, self.environments, streams)
        self.reporter = Reporter(worker, pipe.send)
        if saved:
            self._restore(saved)
        self._scheduler = CoreScheduler(control, worker, job.cores)
        self.profiler = Profiler(job.profile)

    def _restore(self, saved: WorkerState) -> None:
        """Continue where an earlier session's worker stopped, or begin new episodes if the old ones cannot continue."""
        reason, trace = worker_state.restore(self.actor, self.environments, saved, self._beat)
        self.control.beat(self.worker, 0)
        if not reason:
            return
        self._key = self._own_key  # other seeds than before
        streams = RandomStreams(self.job.seed, self._key)
        self.environments.draw_seed = streams.environment_seed
        self.actor.stream.reset(streams.first_environment_seeds(self.environments.num_envs))
        self.pipe.send(
            Incident(
                source="worker",
                severity=Severity.RECOVERED,
                message=f"worker {self.worker}'s environments {reason}; their episodes start anew",
                traceback=trace,
                worker=self.worker,
            )
        )

    def _beat(self, row: int) -> None:
        """Show that this worker lives, and end if that is asked for; its saved state stays as it is."""
        self.control.beat(self.worker, row + 1)
        if self.control.is_stopping:
            os._exit(0)

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

    def report(self) -> None:
        """Send what was done since the last report."""
        self.reporter.report(self.parameters.T, self.parameters.updates, self.profiler.take())
        self.profiler.end("events")

    def send_state(self) -> None:
        """Send what a later session needs."""
        steps = self.parameters.steps(self.worker)
        self.pipe.send(worker_state.capture(self.actor, self.environments, self._key, steps))

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
