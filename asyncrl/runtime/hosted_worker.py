"""An actor-learner with what surrounds it in a process: environments, restoring, reports.

A worker process hosts one, the process of a simulated run all of them.
"""

import os
import traceback
from typing import Protocol

import torch

from asyncrl.errors import InputError
from asyncrl.events import Incident, Message, Severity, WorkerState
from asyncrl.runtime import worker_state
from asyncrl.runtime.action_log import LoggedEnvironments
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.protocols import WorkerParameters
from asyncrl.runtime.random_streams import RandomStreams
from asyncrl.runtime.reporter import Reporter
from asyncrl.runtime.worker import ActorLearner
from asyncrl.text import error_text, one_line, traceback_text


class Sender(Protocol):
    """Where messages to the parent go."""

    def send(self, obj: Message) -> None:
        """Send one."""


class HostedWorker:
    """One actor-learner, its environments and its reporter."""

    def __init__(
        self,
        worker: int,
        job: Job,
        parameters: WorkerParameters,
        control: Control,
        pipe: Sender,
        saved: WorkerState | None = None,
        replaced: int = 0,
    ) -> None:
        """Build it, and restore a saved state.

        Args:
            worker: which of the W.
            job: the run's parts.
            parameters: θ, θ⁻, g, T.
            control: orders and flags.
            pipe: to the parent.
            saved: the state of an earlier session's worker; None if there is none.
            replaced: how many have failed in its place; it draws other random numbers than they did.
        """
        self.worker, self.job, self.parameters, self.control, self.pipe = worker, job, parameters, control, pipe
        self._own_key = (job.session, worker, replaced) if replaced else (job.session, worker)
        self.key = tuple(saved.state.get("key", self._own_key)) if saved else self._own_key
        streams = RandomStreams(job.seed, self.key)
        torch.manual_seed(streams.torch_seed())  # an environment may draw from it while it is made
        self.environments = LoggedEnvironments(job.make_environments(), streams.environment_seed)
        self.actor = ActorLearner(worker, job, parameters, self.environments, streams)
        self.reporter = Reporter(worker, pipe.send)
        if saved:
            self._restore(saved)

    def _restore(self, saved: WorkerState) -> None:
        """Continue where an earlier session's worker stopped, or begin new episodes if the old ones cannot continue."""
        reason, trace = worker_state.restore(self.actor, self.environments, saved, self._beat)
        self.control.beat(self.worker, 0)
        if not reason:
            return
        self.key = self._own_key  # other seeds than before
        streams = RandomStreams(self.job.seed, self.key)
        self.environments.draw_seed = streams.environment_seed
        self.actor.stream.reset(streams.first_environment_seeds(self.environments.num_envs))
        self.pipe.send(
            Incident(
                source="worker",
                severity=Severity.RECOVERED,
                message=f"worker {self.worker}'s environments {reason}; their episodes start anew",
                traceback=trace,
                worker=self.worker,
                is_new_start=True,
            )
        )

    def _beat(self, row: int) -> None:
        """Show that this worker lives, and end if that is asked for; its saved state stays as it is."""
        self.control.beat(self.worker, row + 1)
        if self.control.is_stopping:
            os._exit(0)

    def report(self, seconds: dict[str, float] | None = None) -> None:
        """Send what was done since the last report; ``seconds`` are those of each phase, where they are measured."""
        self.reporter.report(self.parameters.T, self.parameters.updates, seconds or {})

    def state(self) -> WorkerState:
        """Return what a later session needs."""
        return worker_state.capture(self.actor, self.environments, self.key, self.parameters.steps(self.worker))


def describe_failure(worker: int, error: BaseException, hosted: "HostedWorker | None") -> Incident:
    """Return the fatal Incident of a worker that raised; ``hosted`` is None where it could not be built."""
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
        seeds=hosted.environments.seeds if hosted else (),
        steps=hosted.reporter.all_steps if hosted else 0,
    )
