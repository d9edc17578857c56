"""The parent's side of a simulated run: one process for all workers, under the supervisor of worker processes."""

from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from asyncrl.events import Incident, Severity, WorkerState
from asyncrl.runtime import simulated_process
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.simulated_nodes import MakeNodes
from asyncrl.runtime.spawn import NO_MAIN_GUARD
from asyncrl.runtime.supervisor import ProcessPool
from asyncrl.runtime.worker_slot import WorkerSlot


class SimulatedPool(ProcessPool):
    """A WorkerPool of one process that drives all workers by their virtual times.

    A process that dies is not replaced: weights, environments and virtual times belong together, so that the run must
    go back to the last checkpoint. The pool then stops running before the budget is reached.
    """

    def __init__(
        self,
        job: Job,
        parameters: SharedParameters,
        control: Control,
        states: Mapping[int, WorkerState] | None = None,
        losses: int = 0,
        make_nodes: MakeNodes | None = None,
    ) -> None:
        """Prepare; nothing starts before the context is entered.

        Args:
            job: the run's parts.
            parameters: θ, θ⁻, g, T.
            control: orders and flags.
            states: those of all workers at a checkpoint; None at the start of a run.
            losses: how often in a row a process has died after this checkpoint.
            make_nodes: makes the nodes of the run; None: there is one.
        """
        super().__init__(job, parameters, control, states)
        self._saved = dict(self.states)
        self._slots = [WorkerSlot(0, None)]
        self._losses, self._make_nodes = losses, make_nodes

    def _call(self, slot: WorkerSlot, pipe: "Connection[Any, Any]") -> tuple[Callable[..., None], tuple[Any, ...]]:
        run = self.job, self._parameters, self.control, pipe, self._saved, self._make_nodes
        return simulated_process.main, run

    def _progress(self, worker: int) -> int:
        return self._parameters.T + int(self.control.heartbeats.sum())

    def _handle_failure(self, slot: WorkerSlot, incident: Incident, may_be_external: bool) -> Incident:
        """Return the incident; it is fatal where the process has raised, or has died too often."""
        slot.end_process()
        self.control.clear(0)
        if self._is_ending:
            return incident._replace(severity=Severity.RECOVERED)
        has_raised = not may_be_external and slot.hung_seconds is None
        if has_raised or slot.exit_code == NO_MAIN_GUARD or self._losses >= self.job.restarts:
            return incident
        return incident._replace(severity=Severity.RECOVERED, is_replaced=True)
