"""Turns: workers that are more than the cores share these out by themselves, a few rollouts at a time.

Left to the system, they would give way to each other at every step of an emulator, which runs in a thread of its own,
each would find the caches full of the others' weights, and its two threads would move from core to core. Nothing here
is a lock: a worker that dies or is stopped in its turn is overlooked a little later, and whoever goes beyond the number
of cores only costs time.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from asyncrl.runtime.parameters import CORE, STOP, TURN, Shared
from asyncrl.system.machine import core_numbers

TURN_ROLLOUTS = 25  # more would spare little, and too many updates in a row would be one worker's
TURN_SECONDS = 0.25  # at most, where rollouts take long
OVERLOOKED_SECONDS = 2.0  # a turn that should have ended longer ago counts no more
NAP_SECONDS = 0.001  # between looks of one whose turn should have come
LONGEST_NAP = 0.25
BUSY = 0.5  # the share of its turn for which a worker could compute, at least, unless it waits for something else
IDLE_TURNS = 20  # in a row, after which a worker does without turns, as it leaves its core to others anyway
AWAY_SECONDS = 60.0  # before it tries again, doubled each time
THREADS = Path("/proc/self/task")


class Turns:
    """One worker's part in sharing the cores."""

    def __init__(self, shared: Shared, worker: int, cores: int | None) -> None:
        """Take part if there are more workers than ``cores``; None: there are enough."""
        self._shared, self._worker = shared, worker
        self._cores = shared.workers if cores is None else cores
        self._patience = OVERLOOKED_SECONDS + shared.workers / self._cores * TURN_SECONDS  # of a wait
        counters = shared.counters.numpy()
        self._stamps = counters[:, TURN]  # [W] ns: when a turn is due to end, or minus when a wait began; or 0
        self._held = counters[:, CORE]  # [W] of those at work
        numbers = core_numbers()
        self._numbers = self._bound = numbers if len(numbers) == self._cores else []
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
            rest = min(self._lasts / self._rollouts * (TURN_ROLLOUTS - self._rollouts), TURN_SECONDS - self._lasts)
            if rest > 0:
                self._stamps[self._worker] = _nanoseconds(now + rest)
                return
            self._judge(self._lasts)
        if now >= self._back:
            self._wait(now)
            self._began, self._rollouts, self._wanted = time.monotonic(), 0, runnable()

    def leave(self) -> None:
        """Let others have the core."""
        self._stamps[self._worker] = 0
        self._began = None
        self._bind(self._numbers)

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
        """Wait in line for a core, and take it."""
        since = _nanoseconds(now)
        self._stamps[self._worker] = -since
        core, due = self._look(since)
        while core is None and time.monotonic() - now < self._patience and not self._shared.is_ordered(STOP):
            time.sleep(min(max(due / 2, NAP_SECONDS), LONGEST_NAP))  # half: it may be free earlier
            core, due = self._look(since)
        numbers = self._numbers
        if core is not None:
            self._held[self._worker] = core
            if self._lasts < OVERLOOKED_SECONDS:  # else others would take it, too
                numbers = numbers[core : core + 1]
        self._stamps[self._worker] = _nanoseconds(time.monotonic() + min(self._lasts, TURN_SECONDS))
        self._bind(numbers)

    def _look(self, since: int) -> tuple[int | None, float]:
        """Return the core to take; or None, and in how many seconds one is due for who waits since then."""
        now, lasts = time.monotonic(), min(self._lasts, TURN_SECONDS)
        stamps = self._stamps.tolist()
        counts, waits = _nanoseconds(now - OVERLOOKED_SECONDS), _nanoseconds(now - self._patience)
        ends = {core: stamp / 1e9 for core, stamp in zip(self._held.tolist(), stamps, strict=True) if stamp > counts}
        free = [core for core in range(self._cores) if core not in ends]
        ahead = sum(waits < -stamp < since for stamp in stamps)
        if ahead < len(free):
            return free[ahead], 0.0
        ends |= dict.fromkeys(free, now + lasts)  # those ahead take them at once
        rounds, place = divmod(ahead - len(free), self._cores)
        return None, sorted(ends.values())[place] + rounds * lasts - now

    def _bind(self, numbers: list[int]) -> None:
        if numbers and numbers != self._bound:
            bind(numbers)
            self._bound = numbers


def bind(numbers: list[int]) -> None:
    """Have all threads of this process run on these of the system's cores alone, as far as the system lets it."""
    for thread in os.listdir(THREADS):
        with suppress(OSError):  # it has just ended
            os.sched_setaffinity(int(thread), numbers)


def runnable() -> float:
    """Return for how many seconds this process's threads have computed or waited for a core, all together."""
    try:
        stats = [(THREADS / thread / "schedstat").read_text() for thread in os.listdir(THREADS)]
    except OSError:  # no Linux, or a thread that has just ended: then what was computed must do
        return time.process_time()
    return sum(int(number) for stat in stats for number in stat.split()[:2]) / 1e9


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
