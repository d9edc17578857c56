"""What a worker reports to the parent: sums over an interval, and finished episodes."""

import time
from collections import Counter
from collections.abc import Callable

from asyncrl.events import EpisodeEnd, Interval, Message
from asyncrl.runtime.worker import Update

REPORT_SECONDS = 0.5
MOST_EPISODES = 256  # in one message


class Reporter:
    """Adds up a worker's updates, collects the episodes that ended in them, and sends both as messages."""

    def __init__(self, worker: int, send: Callable[[Message], None]) -> None:
        """Report for a worker through ``send``."""
        self._worker, self._send = worker, send
        self.sums: Counter[str] = Counter()  # of statistics, since the last report
        self.steps = self.updates = self.skipped = 0  # since the last report
        self.skipped_in_a_row = 0
        self.all_steps = 0  # of this process
        self._lags: Counter[int] = Counter()  # of updates since the last report, by binary digits of the lag
        self._episodes: list[EpisodeEnd] = []  # not sent yet
        self._reported = time.monotonic()

    def add(self, update: Update) -> None:
        """Count an update and the episodes that ended in it; send episodes where there are enough for a message."""
        self.steps += update.steps
        self.all_steps += update.steps
        self.updates += update.is_applied
        self.skipped += not update.is_applied
        self.skipped_in_a_row = 0 if update.is_applied else self.skipped_in_a_row + 1
        self.sums.update(update.statistics)
        if "policy_lag" in update.statistics:
            self._lags[int(update.statistics["policy_lag"]).bit_length()] += 1
        for episode, epsilon in update.episodes:
            self._episodes.append(
                EpisodeEnd(
                    worker=self._worker,
                    score=episode.score,
                    length=episode.length,
                    T=update.T,
                    updates=update.updates,
                    epsilon=epsilon,
                    completed=episode.completed,
                )
            )
            if len(self._episodes) == MOST_EPISODES:
                self.send_episodes()

    def send_episodes(self) -> None:
        """Send the episodes that were not sent yet."""
        if self._episodes:
            self._send(self._episodes)
            self._episodes = []

    @property
    def is_due(self) -> bool:
        """Return whether it is time for a report."""
        return time.monotonic() - self._reported > REPORT_SECONDS

    def report(self, T: int, updates: int, seconds: dict[str, float]) -> None:
        """Send what was done since the last report.

        Args:
            T: global steps.
            updates: by all workers.
            seconds: of this worker, in each phase; empty where it is not profiled.
        """
        self.send_episodes()
        self._send(
            Interval(
                worker=self._worker,
                steps=self.steps,
                updates=self.updates,
                skipped=self.skipped,
                sums=dict(self.sums),
                T=T,
                global_updates=updates,
                seconds=seconds,
                lags=dict(self._lags),
            )
        )
        self.sums.clear()
        self._lags.clear()
        self.steps = self.updates = self.skipped = 0
        self._reported = time.monotonic()
