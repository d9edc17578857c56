"""One sitting of a run: the crew at work, its words written down, pauses for evaluations and checkpoints.

It knows the runtime and the store, and no algorithm.
"""

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from asyncrl.config import RunConfig
from asyncrl.errors import STOPS, Exit
from asyncrl.events import Event, Failure, Progress, WorkerState
from asyncrl.runtime.evaluator import Exam, Examiner
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import Shared
from asyncrl.runtime.supervisor import POLL_SECONDS, Crew
from asyncrl.schedules import crossed
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store.checkpoint import CheckpointError
from asyncrl.store.document import Status
from asyncrl.store.retrying_writer import RetryingWriter
from asyncrl.store.rows import read_rows
from asyncrl.system.stop_signals import Ears, RunFailed, Stopped
from asyncrl.training import checkpointing
from asyncrl.training.metrics import Logbook

SHOW_SECONDS = 0.25
CHECK_SECONDS = 5.0  # between looks at whether the weights are numbers
ROLLBACKS = 3  # to an earlier checkpoint, before a run is given up


class Session:
    """Trains to the budget, to a signal or to a failure, and leaves a readable store and no process."""

    def __init__(
        self,
        run: Path,
        config: RunConfig,
        job: Job,
        exam: Exam | None,
        shared: Shared,
        document: dict[str, Any],
        show: Callable[[Progress], None],
        states: Mapping[int, WorkerState] | None = None,
    ) -> None:
        """Prepare; nothing starts before ``run``.

        Args:
            run: the run's directory.
            config: its configuration.
            job: its parts.
            exam: its evaluation; None for none.
            shared: its memory, as it starts or as it was restored.
            document: run.json to begin with.
            show: the view, called a few times a second.
            states: those of workers of an earlier session.
        """
        self._path, self._config, self._job, self._shared = run, config, job, shared
        self._exam, self._show, self._document = exam, show, document
        self._frames_per_step: int = document["frames_per_step"]
        self._evaluate_every = self._period(config.evaluation.every)
        self._checkpoint_every = self._period(config.checkpoints.every)
        self._crew = Crew(job, shared, states)
        self._examiner: Examiner | None = None
        self._ears = Ears(self._crew.stop)
        self._failure: Failure | None = None
        self._shown = self._logged = self._checked = 0.0
        self._code = Exit.WORKER_FAILED  # where there is a failure
        self._rollbacks = 0
        rows = read_rows(run, "evaluations")  # one that a kill broke off is due again
        self._evaluated = max((row["steps"] for row in rows if row["kind"] == "training"), default=0)

    def _period(self, frames: int | None) -> int:
        return max(1, (frames or self._config.frames // 10) // self._frames_per_step)

    def run(self) -> Path:
        """Train, and return the run's directory.

        Raises:
            RunFailed: a worker or an evaluation failed, or the disk was full for too long.
            Stopped: SIGINT, SIGTERM, SIGHUP or SIGUSR1.
            OSError: nothing could be written to begin with.
        """
        with self._ears:
            self._sit()
        if self._failure is not None:
            raise RunFailed(self._path, self._failure.reason, self._code)
        if self._ears.heard is not None and not self._is_complete:
            raise Stopped(self._path, STOPS[self._ears.heard])
        return self._path

    def _sit(self) -> None:
        """Train, and write down how that ended."""
        try:
            with RetryingWriter(self._path, self._config.checkpoints.patience_seconds) as self._writer:
                self._writer.begin(**self._document | {"status": Status.RUNNING, "reason": None, "failure": None})
                size = self._frames_per_step, self._job.budget, self._job.workers
                self._log = Logbook(self._writer, *size, self._document)
                try:
                    self._train()
                    self._finish()
                except KeyboardInterrupt:  # asked twice: the last checkpoint is an earlier one
                    self._end()
                except Exception as error:
                    reason = " ".join(f"{type(error).__name__}: {error}".split())
                    self._failure = self._failure or Failure(-1, reason, traceback.format_exc())
                    with suppress(OSError):
                        self._end()
        finally:
            if self._examiner is not None:
                self._examiner.close()

    def _train(self) -> None:
        before = self._shared.T
        self._view("starting", now=True)
        with self._crew:
            if self._exam is not None:
                self._examiner = Examiner(self._exam)
            while self._crew.is_running:
                self._note(self._crew.hear(POLL_SECONDS))
                T = self._shared.T
                if T > before:
                    self._log.clock.go()
                self._check_numbers()
                self._tend_store()
                if before < T and self._is_working:
                    self._pause(before, T)
                before = T
                self._view("training" if T else "starting")
            self._log.clock.halt()

    @property
    def _is_complete(self) -> bool:
        return self._shared.T >= self._job.budget

    @property
    def _is_working(self) -> bool:
        return self._crew.is_running and not self._is_to_end and not self._is_complete

    @property
    def _is_to_end(self) -> bool:
        return self._failure is not None or self._ears.heard is not None

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            self._log.note(event)
            if isinstance(event, Failure) and event.is_final:
                self._failure = self._failure or event
                self._crew.stop()
        self._log.learning_rate = self._job.learning_rate(self._shared.T)
        if time.monotonic() - self._logged > self._config.log_seconds:
            self._log.write_metrics()
            self._logged = time.monotonic()

    def _pause(self, before: int, T: int) -> None:
        """Evaluate and save where it is time to."""
        evaluate = self._examiner is not None and crossed(self._evaluated, T, self._evaluate_every)
        if not (evaluate or crossed(before, T, self._checkpoint_every) or self._writer.should_retry_save):
            return
        with self._standstill():
            self._mend()
            if self._is_working:
                self._save()
                if evaluate:
                    self._evaluate()

    @contextmanager
    def _standstill(self) -> Iterator[None]:
        """Have all workers and the clock stand still."""
        self._note(self._crew.park())
        self._log.clock.halt()
        yield
        self._crew.release()
        self._log.went_on()
        self._log.clock.go()

    def _check_numbers(self) -> None:
        """Look now and then whether learning still has numbers to work with."""
        if time.monotonic() - self._checked > CHECK_SECONDS and self._is_working:
            self._checked = time.monotonic()
            if self._shared.poisoned():
                with self._standstill():
                    self._mend()

    def _mend(self) -> None:
        """Go back to the last checkpoint if θ, θ⁻ or g hold what is no number: every worker would have it soon."""
        names = self._shared.poisoned()
        if not names:
            return
        reason = f"{' and '.join(names)} held numbers that are not finite at step {self._shared.T}"
        self._rollbacks += 1
        try:
            saved = checkpoints.load(self._path)
        except CheckpointError:
            self._give_up(f"{reason}, and there is no checkpoint to go back to")
            return
        if self._rollbacks > ROLLBACKS:
            self._give_up(f"{reason}, after going back to a checkpoint {ROLLBACKS} times")
            return
        self._shared.restore_vectors(saved.tensors)
        self._log.note(Failure(-1, f"{reason}; back to those of step {saved.step}", "", is_final=False))

    def _give_up(self, reason: str, code: Exit = Exit.WORKER_FAILED) -> None:
        if self._failure is None:
            self._code = code
            self._note([Failure(-1, reason, "")])

    def _tend_store(self) -> None:
        """Write what waits for room, and give up where a checkpoint has waited for too long."""
        self._writer.retry()
        if mended := self._writer.pop_recovery():
            self._log.note(Failure(-1, mended, "", is_final=False))
        if self._writer.gave_up and self._is_working:
            seconds, reason = self._config.checkpoints.patience_seconds, self._writer.reason
            self._give_up(f"no checkpoint could be saved for {seconds:g} s: {reason}", Exit.DISK_FULL)

    def _save(self) -> bool:
        self._view("saving", now=True)
        T = self._shared.T
        counts = self._log.counts(T) | {"updates": self._shared.updates}  # some of the dead may have told nobody
        meta = {"counts": counts, "health": self._log.health(), "config": self._document["config"]}
        taken = checkpointing.take(self._shared, self._crew.states, meta)
        is_saved = self._writer.save(taken, self._config.checkpoints.keep)
        if is_saved:
            self._writer.update_document(**counts, **meta["health"])
        return is_saved

    def _evaluate(self) -> None:
        assert self._examiner is not None
        T = self._shared.T
        self._examiner.send(self._shared.evaluated, T)
        result = None
        while result is None and self._ears.heard is None:
            result = self._examiner.hear(POLL_SECONDS)
            self._view("evaluating")
            if isinstance(result, Failure) and not result.is_final:  # it has begun again
                self._note([result])
                result = None
        if isinstance(result, Failure):
            self._note([result])
        elif result is not None:
            self._evaluated = T
            row = self._log.write_evaluation(result, self._document["protocol"], "training")
            if self._writer.saved == T and not math.isnan(row["mean"]):
                self._writer.mark_if_best(T, row["mean"])

    def _finish(self) -> None:
        """Save and evaluate the weights that training ended with, and say how it ended."""
        self._log.write_metrics()
        self._mend()
        if not self._shared.poisoned():
            self._save_at_last()
        if self._examiner is not None and not self._is_to_end:
            self._evaluate()
        self._end()

    def _save_at_last(self) -> None:
        """Save the last checkpoint; on a full disk wait for room, unless somebody waits for the end."""
        while not self._save():
            while not (self._writer.should_retry_save or self._writer.gave_up or self._is_to_end):
                time.sleep(POLL_SECONDS)
                self._view("waiting")
            if self._writer.gave_up or self._is_to_end:
                self._give_up(f"the last checkpoint could not be saved: {self._writer.reason}", Exit.DISK_FULL)
                return

    def _end(self) -> None:
        status, reason = Status.FINISHED, None
        if self._failure is not None:
            status, reason = Status.FAILED, self._failure.reason
        elif self._ears.heard is not None and not self._is_complete:
            status, reason = Status.INTERRUPTED, self._ears.heard.name
        failure = self._failure._asdict() if self._failure else None
        self._writer.update_document(status=status, reason=reason, failure=failure)
        self._writer.retry(now=True)
        self._tend_store()
        if self._writer.waiting:
            self._give_up(f"the end of the run could not be written: {self._writer.reason}", Exit.DISK_FULL)
        self._view("done", now=True)

    def _view(self, phase: str, now: bool = False) -> None:
        if now or time.monotonic() - self._shown > SHOW_SECONDS:
            self._shown = time.monotonic()
            progress = self._log.progress(phase, self._shared.T)
            self._show(progress._replace(trouble=self._writer.reason, lost=self._writer.lost))
