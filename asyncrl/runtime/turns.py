"""Turns: workers that are more than the cores share these out by themselves, a few rollouts at a time.

Left to the system, they would give way to each other at every step of an emulator, which runs in a thread of its own,
and each would find the caches full of the others' weights. Nothing here is a lock: a worker that dies or is stopped in
its turn is overlooked a little later, and whoever goes beyond the number of cores only costs time.
"""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncrl.runtime.shared import STOP, TURN, Shared

Stamps = NDArray[np.int64]  # ns

TURN_ROLLOUTS = 25  # more would spare little, and too many updates in a row would be one worker's
TURN_SECONDS = 0.25  # at most, where rollouts take long
OVERLOOKED_SECONDS = 2.0  # a turn that began longer ago counts no more
NAP_SECONDS = 0.001  # between looks of one whose turn should have come
LONGEST_NAP = 0.25
BUSY = 0.5  # the share of its turn for which a worker could compute, at least, unless it waits for something else
IDLE_TURNS = 20  # in a row, after which a worker does without turns, as it leaves its core to others anyway
AWAY_SECONDS = 60.0  # before it tries again, doubled each time


class Turns:
    """One worker's part in sharing the cores."""

    def __init__(self, shared: Shared, worker: int, cores: int | None) -> None:
        """Take part if there are more workers than ``cores``; None: there are enough."""
        self._shared, self._worker = shared, worker
        self._cores = shared.workers if cores is None else cores
        self._patience = OVERLOOKED_SECONDS + shared.workers / self._cores * TURN_SECONDS  # of a wait
        self._column = shared.counters.numpy()[:, TURN]  # [W] ns: when a turn began, or minus when a wait did; or 0
        self._takes_part = shared.workers > self._cores
        self._began: float | None = None  # this turn
        self._rollouts = 0  # in it
        self._lasts = 0.0  # seconds that the last one took
        self._wanted = 0.0  # seconds for which its threads could have computed, until then
        self._idle = 0  # turns in a row
        self._back = 0.0  # when to take part again
        self._away = AWAY_SECONDS

    def next(self) -> None:
        """Come back at once while the turn lasts; otherwise wait for the next."""
        if not self._takes_part:
            return
        now = time.monotonic()
        if now < self._back:
            return
        if self._began is not None:
            self._rollouts += 1
            self._lasts = now - self._began
            if self._rollouts < TURN_ROLLOUTS and self._lasts < TURN_SECONDS:
                return
            self._judge(self._lasts)
        if now >= self._back:
            self._wait(now)
            self._began, self._rollouts, self._wanted = time.monotonic(), 0, runnable()

    def leave(self) -> None:
        """Let others have the core."""
        self._column[self._worker] = 0
        self._began = None

    def _judge(self, seconds: float) -> None:
        """Go without turns for a while if this worker leaves most of them unused."""
        if runnable() - self._wanted >= BUSY * seconds:
            self._idle, self._away = 0, AWAY_SECONDS
            return
        self._idle += 1
        if self._idle == IDLE_TURNS:
            self.leave()
            self._back = time.monotonic() + self._away
            self._idle, self._away = 0, 2 * self._away

    def _wait(self, now: float) -> None:
        since = _nanoseconds(now)
        self._column[self._worker] = -since
        while time.monotonic() - now < self._patience and not self._shared.is_ordered(STOP):
            at_work, waiting = self._ahead(since)
            behind = len(at_work) + waiting - self._cores
            if behind < 0:
                break
            time.sleep(min(NAP_SECONDS + self._until(behind, at_work), LONGEST_NAP))
        self._column[self._worker] = _nanoseconds(time.monotonic())

    def _ahead(self, since: int) -> tuple[Stamps, int]:
        """Return since when others are at work, and how many have waited for longer."""
        now = time.monotonic()
        at_work = self._column[self._column > _nanoseconds(now - OVERLOOKED_SECONDS)]
        waiting = (self._column < -_nanoseconds(now - self._patience)) & (self._column > -since)
        return at_work, int(np.count_nonzero(waiting))

    def _until(self, behind: int, at_work: Stamps) -> float:
        """Return in how many seconds a core may be free: half a turn, as this worker's last one, before it is due."""
        lasts = min(self._lasts, TURN_SECONDS)
        now = time.monotonic()
        begun = [*np.sort(at_work) / 1e9, *[now] * (self._cores - len(at_work))]  # free cores are taken at once
        rounds, place = divmod(behind, len(begun))
        return max(0.0, float(begun[place]) + (0.5 + rounds) * lasts - now)


def runnable() -> float:
    """Return for how many seconds this process's threads have computed or waited for a core, all together."""
    try:
        stats = [Path(f"/proc/self/task/{thread}/schedstat").read_text() for thread in os.listdir("/proc/self/task")]
    except OSError:  # no Linux, or a thread that has just ended: then what was computed must do
        return time.process_time()
    return sum(int(number) for stat in stats for number in stat.split()[:2]) / 1e9


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
