"""When a training session parks its workers: for checkpoints and evaluations."""

from collections.abc import Mapping
from typing import Any

from asyncrl.config import RunConfig
from asyncrl.events import Event, Incident
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
        self._inexact_at: int | None = None  # the T from which on the run does not repeat, before its end
        # a kill may have ended the evaluation at the barrier where the run goes on
        is_due = self._is_simulated and 0 < start and evaluations.due_at <= start
        self._checkpoint_at = start if is_due else next_multiple(start, self._period)

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

    def add(self, event: Event) -> None:
        """Take in an event of a worker: a run whose episodes began anew does not repeat."""
        if isinstance(event, Incident) and event.is_new_start and self._inexact_at is None:
            self._inexact_at = self._last

    def exactness(self, T: int, is_stopped: bool, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a session that ends at T changes in run.json: the steps after which a run does not repeat."""
        steps = T if is_stopped and not self.is_exact(T) and self._inexact_at is None else self._inexact_at
        if not self._is_simulated or steps is None or document.get("exact_until") is not None:
            return {}
        return {"exact_until": steps}
