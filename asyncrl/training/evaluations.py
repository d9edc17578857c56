"""The evaluations of a training session: when they fall due, and the process that runs them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from asyncrl.events import Evaluated, Incident
from asyncrl.runtime.control import NEVER
from asyncrl.runtime.evaluator import EvaluationSpec, Evaluator
from asyncrl.runtime.protocols import SessionParameters
from asyncrl.schedules import next_multiple
from asyncrl.store.rows import valid_rows

POLL_SECONDS = 0.1


class Evaluations:
    """Evaluates snapshots of the parameters, one at a time, while the workers are parked."""

    def __init__(self, run: Path, spec: EvaluationSpec | None, period: int) -> None:
        """Prepare; no process starts before ``start``.

        Args:
            run: the run's directory.
            spec: what an evaluation is made of; None: there are no evaluations.
            period: steps between two evaluations.
        """
        self._spec, self._period = spec, period
        self._evaluator: Evaluator | None = None
        rows = valid_rows(run, "evaluations").rows  # an evaluation that a kill broke off is due again
        self._last = max((row["steps"] for row in rows if row["kind"] == "training"), default=0)

    def start(self) -> None:
        """Start the process."""
        if self._spec is not None:
            self._evaluator = Evaluator(self._spec)

    @property
    def is_on(self) -> bool:
        """Return whether there are evaluations."""
        return self._evaluator is not None

    def has_evaluated(self, T: int) -> bool:
        """Return whether the parameters of T steps need no evaluation: they had one, or there are no evaluations."""
        return not self.is_on or self._last == T

    @property
    def due_at(self) -> int:
        """Return the T from which on the next evaluation is due: a multiple of the period, or NEVER."""
        return NEVER if self._spec is None else next_multiple(self._last, self._period)

    def evaluate(self, parameters: SessionParameters, tick: Callable[[], bool]) -> Iterator[Evaluated | Incident]:
        """Evaluate the present parameters.

        Args:
            parameters: the weights and T.
            tick: called some times a second; its False ends the wait for the result.

        Yields:
            An Incident for each attempt that failed, and the result, unless the last attempt was a fatal one.
        """
        assert self._evaluator is not None
        T = parameters.T
        self._evaluator.submit(parameters.evaluation_weights, T)
        while True:
            result = self._evaluator.poll(POLL_SECONDS)
            if result is not None:
                yield result
            if isinstance(result, Evaluated):
                self._last = T
            if isinstance(result, Evaluated) or (isinstance(result, Incident) and result.is_fatal) or not tick():
                return

    def close(self) -> None:
        """End the process."""
        if self._evaluator is not None:
            self._evaluator.close()
