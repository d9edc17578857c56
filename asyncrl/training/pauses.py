"""When a training session parks its workers: for checkpoints and evaluations."""

from collections.abc import Mapping
from typing import Any

from asyncrl.config import RunConfig
from asyncrl.schedules import next_multiple, period
from asyncrl.training.evaluations import Evaluations


class Pauses:
    """The T of the next pause.

    A pause of a simulated run is a barrier, which changes what follows: there are no others than those at multiples of
    ``checkpoints.every``, so that the run repeats. An evaluation is made at the first barrier after it is due.
    """

    def __init__(self, config: RunConfig, frames_per_step: int, start: int, evaluations: Evaluations) -> None:
        """Start a session at ``start`` steps, with the settings of ``config.with_periods``."""
        assert config.checkpoints.every is not None
        self._period = period(config.checkpoints.every, frames_per_step)
        self._is_simulated, self._evaluations = config.is_simulated, evaluations
        self._last = start
        self._checkpoint_at = next_multiple(start, self._period)

    @property
    def next(self) -> int:
        """Return the T from which on workers are to be parked."""
        if self._is_simulated:
            return self._checkpoint_at
        return min(self._checkpoint_at, self._evaluations.due_at)

    def is_due(self, T: int, should_retry_save: bool) -> bool:
        """Return whether workers are to be parked now; a failed checkpoint is retried in a pause of its own."""
        return T >= self.next or (should_retry_save and not self._is_simulated)

    def begin(self, T: int) -> None:
        """Take in that a pause has begun at T."""
        self._last, self._checkpoint_at = T, next_multiple(T, self._period)

    def is_exact(self, T: int) -> bool:
        """Return whether a checkpoint at T is one that every repetition of a simulated run has, too."""
        return self._is_simulated and self._last == T

    def exactness(self, T: int, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a stop at T changes in run.json: the steps after which a simulated run does not repeat."""
        if not self._is_simulated or self.is_exact(T) or document.get("exact_until") is not None:
            return {}
        return {"exact_until": T}
