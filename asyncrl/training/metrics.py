"""Metrics of a run: the workers' events become rows in the store, and the progress that the live view shows."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from asyncrl import floats
from asyncrl.events import RECENT_EPISODES, EpisodeEnd, Evaluated, Event, Incident, Interval, Pushes
from asyncrl.store.document import SIMULATED
from asyncrl.store.rows import Writer
from asyncrl.training.meters import Clock, Curve, Tracebacks, VirtualClock, WorkerScores
from asyncrl.training.progress import Progress

CURVE = 480  # points in the curve of mean scores, at most
BATCH = 1_000  # rows of episodes that are written together, at most


class Metrics:
    """Turns events into rows and into progress; the parent process owns it, the run's only writer."""

    def __init__(
        self, writer: Writer, frames_per_step: int, budget: int, workers: int, document: Mapping[str, Any]
    ) -> None:
        """Write to a run's store.

        Args:
            writer: of the run's directory.
            frames_per_step: emulator frames in an agent step.
            budget: steps.
            workers: how many actor-learners.
            document: run.json; the counts of a resumed run continue from it.
        """
        self._writer, self._frames_per_step, self._budget = writer, frames_per_step, budget
        seconds = float(document.get("seconds", 0.0))
        self.clock = VirtualClock(seconds) if document.get("clock") == SIMULATED else Clock(seconds)
        self.T, self.updates = int(document.get("steps", 0)), int(document.get("updates", 0))
        self.learning_rate = 0.0
        self.skipped, self.restarts = int(document.get("skipped", 0)), int(document.get("restarts", 0))
        self._workers = [WorkerScores() for _ in range(workers)]
        self._scores: deque[float] = deque(maxlen=RECENT_EPISODES)
        self._episodes = 0
        self._episode_rows: list[dict[str, Any]] = []  # not written yet
        self._sums: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()  # of all workers' time, by phase
        self._lags: Counter[int] = Counter()  # updates, by binary digits of their policy lag
        self._pushes: Counter[str] = Counter()  # of nodes, by column
        self._push_rates: dict[str, float] = {}  # a second, of the last interval
        self._counted = self._stepped = 0  # updates and steps in the sums
        self._statistics: dict[str, float] = {}
        self._last_row = (self.T, self.clock.seconds)  # steps and seconds of the last row of metrics
        self._rate = self._written = 0.0
        self._evaluations: list[tuple[int, float, float]] = []
        self._curve = Curve(CURVE)
        self._tracebacks = Tracebacks()

    def add(self, event: Event) -> None:
        """Record an event; rows of episodes are written by ``write_episodes``, or where there are many."""
        if isinstance(event, EpisodeEnd):
            self._add_episode(event)
        elif isinstance(event, Interval):
            self._add_interval(event)
        elif isinstance(event, Pushes):
            self._pushes.update({f"pushes_{outcome}": count for outcome, count in event.outcomes.items()})
            self._pushes.update({size_column("staleness", n): count for n, count in event.staleness.items()})
        elif isinstance(event, Incident):
            self.restarts += event.is_replaced
            self._writer.append("failures", self._tracebacks.shortened(self.counts(self.T) | event.row()))

    def _add_episode(self, event: EpisodeEnd) -> None:
        worker = self._workers[event.worker]
        worker.episodes, self._episodes = worker.episodes + 1, self._episodes + 1
        worker.scores.append(event.score)
        worker.epsilon = event.epsilon
        self._scores.append(event.score)
        self.clock.set(event.clock)
        row = event._asdict()
        del row["T"], row["clock"]
        self._episode_rows.append(self.counts(event.T) | row)
        if len(self._episode_rows) == BATCH:
            self.write_episodes()

    def write_episodes(self) -> None:
        """Write the rows of all episodes so far."""
        rows, self._episode_rows = self._episode_rows, []
        if rows:
            self._writer.append("episodes", *rows)

    def _add_interval(self, event: Interval) -> None:
        self._workers[event.worker].add_steps(event.steps)
        self.T, self.updates = max(self.T, event.T), max(self.updates, event.global_updates)
        self.skipped += event.skipped
        self._counted += event.updates
        self._stepped += event.steps
        self._sums.update(event.sums)
        self._seconds.update(event.seconds)
        self._lags.update(event.lags)
        self.clock.set(event.clock)

    def restart_rates(self) -> None:
        """Leave the time that workers were parked out of their rates."""
        for worker in self._workers:
            worker.restart_rate()

    def write_due(self, learning_rate: float, every: float) -> None:
        """Write the rows of episodes, and a row of metrics if the last one is ``every`` seconds old."""
        self.write_episodes()
        self.learning_rate = learning_rate
        if time.monotonic() - self._written > every:
            self.write()
            self._written = time.monotonic()

    def write(self) -> None:
        """Write a row for the time since the last one."""
        if self.T == self._last_row[0]:
            return
        if self._scores:
            self._curve.append(floats.mean(self._scores))
        (steps, seconds), self._last_row = self._last_row, (self.T, self.clock.seconds)
        span, shortest = self.clock.seconds - seconds, self.clock.shortest_span
        if span >= shortest or not self._rate:
            self._rate = (self.T - steps) * self._frames_per_step / max(span, shortest)
        self._push_rates = {name: count / max(span, shortest) for name, count in self._pushes.items()}
        self._statistics = {name: value / self._counted for name, value in sorted(self._sums.items())}
        row = {"frames_per_second": self._rate, "learning_rate": self.learning_rate, **self.health()}
        profile = {f"{phase}_us": 1e6 * value / max(1, self._stepped) for phase, value in self._seconds.items()}
        lags = {size_column("lag", digits): self._lags[digits] for digits in range(max(self._lags, default=-1) + 1)}
        self._writer.append("metrics", self.counts(self.T) | row | self._statistics | lags | self._pushes | profile)
        self._sums.clear()
        self._lags.clear()
        self._pushes.clear()
        self._seconds.clear()
        self._counted = self._stepped = 0

    def write_evaluation(self, result: Evaluated, protocol: str, kind: str) -> dict[str, Any]:
        """Write and return the row of an evaluation."""
        stamp = self.counts(result.T)
        row = stamp | evaluation_row(result, protocol, kind)
        self._writer.append("evaluations", row)
        self._evaluations.append((int(stamp["frames"]), row["mean"], row["std"]))
        return row

    def counts(self, T: int) -> dict[str, int | float]:
        """Return the columns that every row has, at T steps."""
        return {
            "frames": T * self._frames_per_step,
            "steps": T,
            "updates": self.updates,
            "seconds": round(self.clock.seconds, self.clock.digits),
        }

    def health(self) -> dict[str, int]:
        """Return the counts of skipped updates and replaced workers in all sessions, as a checkpoint keeps them."""
        return {"skipped": self.skipped, "restarts": self.restarts}

    def progress(self, phase: str, T: int) -> Progress:
        """Return the progress at T steps."""
        workers = tuple(worker.view(i) for i, worker in enumerate(self._workers))
        recent = sum(worker.steps_per_second for worker in workers) * self._frames_per_step
        return Progress(
            phase=phase,
            frames=T * self._frames_per_step,
            budget=self._budget * self._frames_per_step,
            seconds=self.clock.shown,
            frames_per_second=recent or self._rate,
            episodes=self._episodes,
            last_score=self._scores[-1] if self._scores else None,
            mean_score=floats.mean(self._scores) if self._scores else None,
            learning_rate=self.learning_rate,
            statistics=self._statistics,
            workers=workers,
            evaluations=tuple(self._evaluations),
            scores=tuple(self._curve.points),
            pushes=self._push_rates,
            skipped=self.skipped,
            restarts=self.restarts,
        )


def size_column(name: str, digits: int) -> str:
    """Return the column that counts sizes of so many binary digits, named by the smallest one: ``lag_4``."""
    return f"{name}_{1 << (digits - 1) if digits else 0}"


def evaluation_row(result: Evaluated, protocol: str, kind: str) -> dict[str, Any]:
    """Return the columns of a row of evaluations.jsonl that describe the episodes."""
    return {
        "kind": kind,
        "protocol": protocol,
        "episodes": len(result.scores),
        "mean": floats.mean(result.scores),
        "median": floats.median(result.scores),
        "std": floats.std(result.scores),
        "scores": list(result.scores),
        "lengths": list(result.lengths),
    }
