"""Weights that are not finite: found, and taken back to the last checkpoint."""

import time
from pathlib import Path

from asyncrl.events import Incident, Severity
from asyncrl.runtime.protocols import SessionParameters
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.checkpoint import Checkpoint, CheckpointError
from asyncrl.store.layout import Kind

CHECK_SECONDS = 5.0
ROLLBACKS = 3  # to an earlier checkpoint, before a run is given up


class WeightGuard:
    """Looks whether θ, θ⁻ and g are finite: numbers that are not would spread to all workers."""

    def __init__(self, run: Path, parameters: SessionParameters) -> None:
        """Guard the parameters of a run."""
        self._run, self._parameters = run, parameters
        self._checked = 0.0
        self._rollbacks = 0

    def finds_nonfinite(self) -> bool:
        """Return whether a number is not finite; it is looked at now and then only."""
        if time.monotonic() - self._checked <= CHECK_SECONDS:
            return False
        self._checked = time.monotonic()
        return bool(self._parameters.nonfinite())

    def roll_back_if_nonfinite(self) -> Incident | None:
        """Go back to the last checkpoint if a number is not finite; return what happened, or None.

        The Incident is fatal where there is no checkpoint, or after three times. Workers must be parked.
        """
        names = self._parameters.nonfinite()
        if not names:
            return None
        reason = f"{' and '.join(names)} held numbers that are not finite at step {self._parameters.T}"
        self._rollbacks += 1
        try:
            saved = checkpoints.load(self._run, check=self._check)
        except CheckpointError:
            return _incident(Severity.FATAL, f"{reason}, and there is no checkpoint to go back to")
        if self._rollbacks > ROLLBACKS:
            message = f"{reason}, after going back to a checkpoint {ROLLBACKS} times"
            return _incident(Severity.FATAL, message)
        self._parameters.restore_vectors(saved.tensors)
        return _incident(Severity.RECOVERED, f"{reason}; back to those of step {saved.step}")

    def _check(self, checkpoint: Checkpoint) -> None:
        for name, own in self._parameters.tensors().items():
            if name not in checkpoint.tensors:
                raise ValueError(f"{name} is missing")
            Kind(own.dtype, tuple(own.shape)).check(name, checkpoint.tensors[name])


def _incident(severity: Severity, message: str) -> Incident:
    return Incident(source="weights", severity=severity, message=message)
