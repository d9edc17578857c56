"""The process of a simulated run: it drives all actor-learners in the order of their virtual times.

A phase acts on shared memory at its start; its cost is added to the worker's time when it ends. All workers stop
between two rollouts at a barrier: a checkpoint, or the end. They go on from their own virtual times.
"""

import gc
import heapq
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from asyncrl.events import Incident, Severity, WorkerState
from asyncrl.runtime import worker_state
from asyncrl.runtime.control import Control
from asyncrl.runtime.delayed_parameters import DelayedParameters
from asyncrl.runtime.hosted_worker import HostedWorker, describe_failure
from asyncrl.runtime.job import Job
from asyncrl.runtime.outbox import Outbox
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.process import MOST_SKIPPED, PARKED_SECONDS
from asyncrl.runtime.reporter import REPORT_SECONDS
from asyncrl.runtime.simulated_nodes import Due, MakeNodes, OneNode
from asyncrl.runtime.simulated_worker import SimulatedWorker
from asyncrl.runtime.simulation import TURN_ROLLOUTS, Cores, Durations
from asyncrl.runtime.spawn import enter
from asyncrl.runtime.worker import Update


def main(
    job: Job,
    parameters: SharedParameters,
    control: Control,
    pipe: "Connection[Any, Any]",
    saved: Mapping[int, WorkerState],
    make_nodes: MakeNodes | None = None,
) -> None:
    """Run all workers in this process, and send an Incident to the parent where that fails.

    Args:
        job: the run's parts.
        parameters: θ, θ⁻, g, T.
        control: orders and flags; row 0 is this process's.
        pipe: to the parent.
        saved: the states of an earlier session; empty at the start of a run.
        make_nodes: makes the nodes of the run; None: there is one.
    """
    enter(job.torch_threads)
    outbox = Outbox(pipe)
    try:
        simulated = SimulatedProcess(job, parameters, control, outbox, saved, make_nodes)
        gc.collect()
        gc.freeze()
        simulated.run()
        pipe.close()
        os._exit(0)
    except WorkerFailed as failed:
        with suppress(OSError):  # the parent is gone
            outbox.send(failed.incident)
            outbox.flush()
        os._exit(1)
    # an environment may raise anything; Ctrl-C does not reach this process
    except BaseException as error:
        with suppress(OSError):  # the parent is gone
            outbox.send(describe_failure(0, error, None)._replace(worker=None))
            outbox.flush()
        os._exit(1)


class WorkerFailed(Exception):
    """A worker failed, and cannot be replaced."""

    def __init__(self, incident: Incident) -> None:
        """Fail with a fatal incident."""
        super().__init__(incident.message)
        self.incident = incident


class SimulatedProcess:
    """All workers of a run, and the queue of their next phases."""

    def __init__(
        self,
        job: Job,
        parameters: SharedParameters,
        control: Control,
        outbox: Outbox,
        saved: Mapping[int, WorkerState],
        make_nodes: MakeNodes | None = None,
    ) -> None:
        """See main."""
        assert job.simulation is not None
        # A run that goes back to its start repeats it.
        self._job = replace(job, session=0) if parameters.T == 0 else job
        self._shared, self._control, self._outbox = parameters, control, outbox
        self._delayed = DelayedParameters(parameters, self._draw_delay) if job.simulation.delay else None
        self._nodes = make_nodes(parameters, control) if make_nodes else OneNode(self._delayed or parameters)
        self._workers: list[SimulatedWorker] = []
        for i in range(job.workers):
            self._workers.append(self._build(i, saved.get(i)))
            control.beat(0, i + 1)
        control.beat(0, 0)
        if saved:  # replayed environments may have drawn from torch's global generator
            worker_state.restore_global_generator(saved[max(saved)])
            outbox.clock = max(worker.time for worker in self._workers)
        cores, turn = job.simulation.cores, TURN_ROLLOUTS if job.simulation.has_turns else 1
        self._cores = Cores(cores, turn) if cores and cores < job.workers else None
        self._reported = time.monotonic()
        self._beats = 0

    def _draw_delay(self, worker: int) -> int:
        return self._workers[worker].durations.delay()

    def _build(self, i: int, saved: WorkerState | None) -> SimulatedWorker:
        job, simulation = self._job, self._job.simulation
        assert simulation is not None
        hosted = self._host(i, saved)
        durations = Durations(simulation, job.seed, i)
        start = durations.start(i, job.workers, job.t_max, hosted.environments.num_envs)
        worker = SimulatedWorker(hosted, durations, start)
        if saved:
            worker.restore(saved, self._delayed)
        return worker

    def _host(
        self, i: int, saved: WorkerState | None = None, replaced: int = 0, job: Job | None = None
    ) -> HostedWorker:
        parameters = self._nodes.parameters(i)
        return HostedWorker(i, job or self._job, parameters, self._control, self._outbox, saved, replaced)

    def run(self) -> None:
        """Repeat: all workers from one barrier to the next, until T > T_max or the parent asks for the end."""
        while self._may_continue:
            self._run_to_barrier()
            pause = self._control.pause
            self._report(states=[worker.state(self._delayed) for worker in self._workers])
            if self._may_continue:
                self._wait_for_release(pause)
        for worker in self._workers:
            with suppress(Exception):  # all events have been sent
                worker.hosted.environments.close()

    @property
    def _may_continue(self) -> bool:
        return self._shared.T < self._job.budget and not self._control.is_stopping

    def _run_to_barrier(self) -> None:
        """Run phases in the order of virtual time until every worker is between two rollouts at a barrier."""
        queue: list[Due] = [(worker.time, i) for i, worker in enumerate(self._workers)]
        heapq.heapify(queue)
        nodes, cores = self._nodes, self._cores
        nodes.begin([worker.time for worker in self._workers])
        while queue or nodes.due:
            for due in nodes.due:
                heapq.heappush(queue, due)
            nodes.due.clear()
            now, i = heapq.heappop(queue)
            if i >= len(self._workers):
                nodes.advance(i - len(self._workers), now)
            elif self._go_on(i, now):
                heapq.heappush(queue, (self._workers[i].time, i))
            if cores and cores.granted:
                for first in cores.granted:
                    heapq.heappush(queue, (now, first))
                cores.granted.clear()
        nodes.end()

    def _go_on(self, i: int, now: float) -> bool:
        """Run a worker's phases up to the next access to shared numbers; return False where it waits or has stopped."""
        worker, cores = self._workers[i], self._cores
        worker.time = now
        if worker.is_between_rollouts:
            if not self._nodes.enter(i, now):
                return False
            T = worker.hosted.parameters.T
            if self._control.is_stopping or T >= min(self._job.budget, self._control.pause_at):
                if cores:
                    cores.leave(i)
                self._nodes.park(i)
                return False
        if cores and not cores.enter(i):
            return False
        self._advance(i, worker)
        return True

    def _advance(self, i: int, worker: SimulatedWorker) -> None:
        """Run phases of a worker, and build it anew where they fail."""
        try:
            update = worker.advance()
            # T moves only after about a rollout of every worker
            self._beats += 1
            self._control.beat(0, self._beats)
            if update is not None:
                self._add(worker, update)
        # an environment may raise anything
        except BaseException as error:
            self._replace(i, worker, error)
            update = None
        if self._cores and (update is not None or (self._job.simulation and not self._job.simulation.has_turns)):
            self._cores.spend(i)

    def _add(self, worker: SimulatedWorker, update: Update) -> None:
        """Count an update that has just ended, and report twice a second of real time."""
        if self._delayed is not None and "policy_lag" in update.statistics:
            lag = update.statistics["policy_lag"] + self._delayed.last_delay
            update = update._replace(statistics=update.statistics | {"policy_lag": lag})
        self._outbox.clock = max(self._outbox.clock, worker.time)
        reporter = worker.hosted.reporter
        reporter.add(update)
        reporter.send_episodes()
        if reporter.skipped_in_a_row == MOST_SKIPPED:
            raise FloatingPointError(f"{MOST_SKIPPED} updates in a row without a finite gradient")
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._report()

    def _replace(self, i: int, worker: SimulatedWorker, error: BaseException) -> None:
        """Build a worker anew in place of one that raised; raise its error where that would not help."""
        incident, hosted = describe_failure(i, error, worker.hosted), worker.hosted
        if hosted.parameters.T == 0:
            raise WorkerFailed(incident) from error
        hosted.report()
        with suppress(Exception):  # of a broken environment
            hosted.environments.close()
        replaced = hosted.key[2] + 1 if len(hosted.key) == 3 else 1
        # the session in which its episodes began, so that a resumed run draws the same seeds
        job = replace(self._job, session=hosted.key[0])
        if worker.replace_after_failure(self._host(i, replaced=replaced, job=job)) > self._job.restarts:
            raise WorkerFailed(incident) from error
        self._outbox.send(incident._replace(severity=Severity.RECOVERED, is_replaced=True))

    def _report(self, states: Sequence[WorkerState] = ()) -> None:
        for worker in self._workers:
            worker.hosted.report()
        self._outbox.flush(*self._nodes.take_events(), *states)
        self._reported = time.monotonic()

    def _wait_for_release(self, pause: int) -> None:
        """Wait until the parent has saved the states, and ends the pause with this number."""
        self._control.set_parked(0, pause)
        while self._control.pause == pause and not self._control.is_stopping:
            time.sleep(PARKED_SECONDS)
        self._control.set_parked(0, 0)
