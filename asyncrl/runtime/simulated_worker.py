"""One worker of a simulated run: its actor-learner, driven from one access to shared numbers to the next."""

from collections import deque
from collections.abc import Generator
from typing import Any

import torch

from asyncrl.events import WorkerState
from asyncrl.runtime.delayed_parameters import DelayedParameters, Pending
from asyncrl.runtime.hosted_worker import HostedWorker
from asyncrl.runtime.simulation import Durations
from asyncrl.runtime.worker import Update

RECENT_SECONDS = 600.0  # virtual ones, in which failures are counted


class SimulatedWorker:
    """A hosted worker with its virtual time, the costs of its phases, and the rollout that it is in."""

    def __init__(self, hosted: HostedWorker, durations: Durations, start: float) -> None:
        """Start at a virtual time."""
        self.hosted, self.durations = hosted, durations
        self.time = start  # virtual seconds at which its next phase begins
        self._phases: Generator[str, None, Update] | None = None  # of the present update
        self._steps = 0  # of each environment in the present rollout
        self._failures: deque[float] = deque()

    @property
    def is_between_rollouts(self) -> bool:
        """Return whether the next phase begins an update."""
        return self._phases is None

    def advance(self) -> Update | None:
        """Run phases, from one that acts on shared numbers until the next such one; add their costs to the time.

        Returns:
            The update that ended, if one did.
        """
        actor = self.hosted.actor
        if self._phases is None:
            self._phases, self._steps = actor.update(), 0
        while True:
            try:
                phase = next(self._phases)
            except StopIteration as done:
                self._phases = None
                update: Update = done.value
                return update
            envs = self.hosted.environments.num_envs
            self._steps += phase == "environment"
            self.time += self.durations.seconds(phase, self._steps * envs if phase == "learn" else envs)
            if self._is_shared_next(phase):
                return None

    def _is_shared_next(self, phase: str) -> bool:
        """Return whether the phase after this one reads or writes shared numbers.

        With a snapshot these are ``apply``, and ``learn`` where there is θ⁻. Algorithm 1 also acts on the shared θ.
        """
        actor = self.hosted.actor
        if actor.snapshot is None:
            return phase not in ("act", "apply") or (phase == "act" and actor.stream.is_cut)
        return phase == "learn" or (
            phase == "environment" and actor.stream.is_cut and actor.learner.target_period is not None
        )

    def replace_after_failure(self, hosted: HostedWorker) -> int:
        """Go on with another hosted worker after a failure; return how many failures there were recently."""
        self.hosted, self._phases = hosted, None
        self._failures.append(self.time)
        while self._failures[0] < self.time - RECENT_SECONDS:
            self._failures.popleft()
        return len(self._failures)

    def state(self, delayed: DelayedParameters | None) -> WorkerState:
        """Return what a later session needs; ``delayed`` holds gradients that are not applied yet."""
        saved = self.hosted.state()
        virtual: dict[str, Any] = {"time": self.time, "random": self.durations.state, "pushes": 0, "pending": []}
        arrays = saved.arrays
        if delayed is not None:
            own = [each for each in delayed.pending if each.worker == self.hosted.worker]
            virtual |= {"pushes": delayed.pushes, "pending": [[each.push, each.due, each.T] for each in own]}
            if own:
                arrays = arrays | {"pending": torch.stack([each.grad for each in own]).numpy()}
        return saved._replace(state=saved.state | {"virtual": virtual}, arrays=arrays)

    def restore(self, saved: WorkerState, delayed: DelayedParameters | None) -> None:
        """Continue at the virtual time of a saved state."""
        virtual = saved.state["virtual"]
        self.time, self.durations.state = virtual["time"], virtual["random"]
        if delayed is not None:
            grads = [torch.from_numpy(grad.copy()) for grad in saved.arrays.get("pending", ())]
            both = zip(virtual["pending"], grads, strict=True)
            own = [Pending(push, due, self.hosted.worker, grad, T) for (push, due, T), grad in both]
            delayed.restore(virtual["pushes"], own)
