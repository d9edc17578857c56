"""One training session of a run: workers train, events become rows, evaluations and checkpoints fall due.

It knows a WorkerPool, the parameters and the store, and no algorithm.
"""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from asyncrl.config import RunConfig, with_periods
from asyncrl.errors import Exit
from asyncrl.events import Event, Incident, Severity
from asyncrl.runtime.evaluator import EvaluationSpec
from asyncrl.runtime.protocols import SessionParameters, WorkerPool
from asyncrl.schedules import period
from asyncrl.store.document import Status
from asyncrl.training import checkpointing, writing
from asyncrl.training.ending import NOTHING_LEARNED, Ending, WorkersLost
from asyncrl.training.evaluations import POLL_SECONDS, Evaluations
from asyncrl.training.metrics import Metrics, evaluation_row
from asyncrl.training.pauses import Pauses
from asyncrl.training.progress import ShowProgress
from asyncrl.training.weight_guard import WeightGuard

SHOW_SECONDS = 0.25


class Session:
    """Trains until the budget, a stop or a failure; at the end all files are readable and no process is left."""

    def __init__(
        self,
        run: Path,
        config: RunConfig,
        pool: WorkerPool,
        parameters: SessionParameters,
        evaluation: EvaluationSpec | None,
        document: dict[str, Any],
        show: ShowProgress,
        saves_first: bool = False,
    ) -> None:
        """Prepare; nothing starts before ``run``.

        Args:
            run: the run's directory.
            config: the run's settings.
            pool: the run's workers.
            parameters: θ, θ⁻, g, T, as they start or as they were restored.
            evaluation: the parts of an evaluation during training; None: there are no evaluations.
            document: the first content of run.json.
            show: the live view, see ``ShowProgress``.
            saves_first: whether a new run begins with a checkpoint.
        """
        config = with_periods(config)
        self._path, self._config, self._pool, self._parameters = run, config, pool, parameters
        self._show, self._document, self._saves_first = show, document, saves_first
        self._frames_per_step: int = document["frames_per_step"]
        self._budget: int = max(1, config.frames // self._frames_per_step)  # steps
        self._start = parameters.T
        self._evaluations = Evaluations(run, evaluation, period(config.evaluation.every or 1, self._frames_per_step))
        self._pauses = Pauses(config, self._frames_per_step, self._start, self._evaluations)
        self._guard = WeightGuard(run, parameters)
        self._ending, self._shown = Ending(pool.stop), 0.0

    def run(self, handle_signals: bool = True) -> Path:
        """Train, and return the run's directory.

        SIGINT, SIGTERM, SIGHUP and SIGUSR1 stop it, unless ``handle_signals`` is False, as it must be outside the main
        thread.

        Raises:
            RunFailed: a worker or an evaluation failed, or the run could not be written.
            Stopped: by a signal.
            WorkersLost: the run must go back to its last checkpoint.
        """
        with self._ending.signals if handle_signals else nullcontext():
            self._run()
        self._ending.raise_if_early(self._path, self._is_complete)
        if self._config.is_simulated and not (self._is_complete or self._ending.must_end):
            raise WorkersLost
        return self._path

    def _run(self) -> None:
        """Train, and record how that ended."""
        try:
            document = self._document | {"status": Status.RUNNING, "reason": None, "failure": None}
            with writing.begin(self._path, self._config.checkpoints.patience_seconds, document) as self._writer:
                size = self._frames_per_step, self._budget, self._parameters.workers
                self._metrics = Metrics(self._writer, *size, self._document)
                try:
                    self._train()
                    if self._is_complete or self._ending.must_end:
                        self._finish()
                except KeyboardInterrupt:  # end at once, without a new checkpoint
                    with self._ending.interrupted():
                        self._end()
                except Exception as error:
                    self._ending.fail_with(error)
                    with suppress(OSError):
                        self._end()
        finally:
            self._evaluations.close()

    def _train(self) -> None:
        self._view("starting", now=True)
        if self._saves_first and self._start == 0:
            self._save()
        self._pool.release(self._pauses.next)
        with self._pool:
            self._evaluations.start()
            while self._pool.is_running:
                self._record(self._pool.events(POLL_SECONDS))
                if self._parameters.T > self._start:
                    self._metrics.clock.start()
                if self._is_working and not self._config.is_simulated and self._guard.finds_nonfinite():
                    with self._paused():
                        self._roll_back_if_nonfinite()
                self._retry_writes()
                if self._is_working:
                    self._evaluate_and_save_if_due()
                self._view("training" if self._parameters.T else "starting")
            self._metrics.clock.stop()

    @property
    def _is_complete(self) -> bool:
        return self._parameters.T >= self._budget

    @property
    def _is_working(self) -> bool:
        return self._pool.is_running and not self._ending.must_end and not self._is_complete

    def _record(self, events: Iterable[Event], code: Exit = Exit.WORKER_FAILED) -> None:
        """Record events, and write metrics if they are due; a fatal Incident ends the session with an exit code."""
        for event in events:
            self._metrics.add(event)
            self._pauses.add(event)
            if isinstance(event, Incident) and event.is_fatal:
                self._ending.fail(event, code)
        self._metrics.write_due(self._parameters.learning_rate(self._parameters.T), self._config.log_seconds)

    def _evaluate_and_save_if_due(self) -> None:
        if not self._pauses.is_due(self._parameters.T, self._writer.should_retry_save):
            return
        with self._paused():
            T = self._parameters.T
            self._pauses.begin(T)
            self._roll_back_if_nonfinite()
            if self._is_working:
                self._save()
                if T >= self._evaluations.due_at:
                    self._evaluate()

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Park all workers and stop the clock."""
        self._record(self._pool.park())
        with self._metrics.clock.stopped():
            yield
        self._pool.release(self._pauses.next)
        self._metrics.restart_rates()

    def _roll_back_if_nonfinite(self) -> None:
        incident = self._guard.roll_back_if_nonfinite()
        if incident and not (incident.is_fatal and self._ending.failure):  # only the first failure is recorded
            self._record([incident])

    def _give_up(self, reason: str) -> None:
        """End because of the store, unless the session has failed already."""
        if self._ending.failure is None:
            self._record([Incident(source="store", severity=Severity.FATAL, message=reason)], Exit.DISK_FULL)

    def _retry_writes(self) -> None:
        """Retry pending writes, and give up if no checkpoint could be saved for too long."""
        self._writer.retry()
        for message in self._writer.pop_incidents():
            self._metrics.add(Incident(source="store", severity=Severity.RECOVERED, message=message))
        if self._writer.gave_up and self._is_working:
            patience = self._config.checkpoints.patience_seconds
            self._give_up(f"no checkpoint could be saved for {patience:g} s: {self._writer.reason}")

    def _save(self) -> bool:
        self._view("saving", now=True)
        # The shared counter of updates includes those of workers that died before they reported them.
        counts = self._metrics.counts(self._parameters.T) | {"updates": self._parameters.updates}
        meta = {"counts": counts, "health": self._metrics.health(), "config": self._document["config"]}
        meta |= {"is_exact": self._pauses.is_exact(self._parameters.T)}
        taken = checkpointing.take(self._parameters, self._pool.states, meta)
        if not self._writer.save(taken, self._config.checkpoints.keep):
            return False
        self._writer.update_document(**counts, **meta["health"])
        return True

    def _evaluate(self) -> None:
        for result in self._evaluations.evaluate(self._parameters, self._keep_waiting):
            if isinstance(result, Incident):
                self._record([result])
                continue
            mean = evaluation_row(result, self._document["protocol"], "training")["mean"]
            # Before the row is written: an evaluation without a row is made again at resume, one with a row is not.
            if self._writer.saved == result.T and math.isfinite(mean):
                self._writer.mark_if_best(result.T, mean)
            self._metrics.write_evaluation(result, self._document["protocol"], "training")

    def _keep_waiting(self) -> bool:
        """Refresh the view during an evaluation; return False where the session is to stop."""
        self._view("evaluating")
        return not self._ending.is_stop_requested

    def _finish(self) -> None:
        """Save and evaluate the weights that training ended with, and record how it ended."""
        self._metrics.write()
        self._roll_back_if_nonfinite()
        # a simulated run whose process has failed goes on from its last barrier
        is_lost = self._config.is_simulated and self._ending.failure
        can_save = not (is_lost or self._parameters.nonfinite())
        if can_save and not writing.save(self._writer, self._save, self._may_wait):
            self._give_up(f"the last checkpoint could not be saved: {self._writer.reason}")
        if self._is_complete and not self._parameters.updates:
            self._record([NOTHING_LEARNED])
        if not (self._ending.must_end or self._evaluations.has_evaluated(self._parameters.T)):
            self._evaluate()
        self._end()

    def _may_wait(self) -> bool:
        """Refresh the view while a write waits; return False where the session is to end."""
        self._view("waiting")
        return not self._ending.must_end

    def _end(self) -> None:
        self._metrics.write_episodes()
        (status, reason), failure = self._ending.status(self._is_complete), self._ending.failure
        changes = self._pauses.exactness(self._parameters.T, status is Status.INTERRUPTED, self._document)
        changes |= {"status": status, "reason": reason, "failure": failure.row() if failure else None}
        self._writer.update_document(**changes)
        writing.flush(self._writer, self._config.checkpoints.patience_seconds, self._may_wait)
        self._retry_writes()
        if self._writer.waiting:
            self._give_up(f"the end of the run could not be written: {self._writer.reason}")
        self._view("done", now=True)

    def _view(self, phase: str, now: bool = False) -> None:
        if now or time.monotonic() - self._shown > SHOW_SECONDS:
            self._shown = time.monotonic()
            progress = self._metrics.progress(phase, self._parameters.T)
            progress = progress._replace(store_problem=self._writer.reason, lost=self._writer.lost)
            if self._show(progress) is False:
                self._ending.stop("stopped from Python")
