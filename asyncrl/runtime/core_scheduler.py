"""Cooperative scheduling of workers on cores, for more workers than cores: each runs some rollouts in its turn.

Without turns, the operating system would switch workers at every emulator step (emulators have their own threads). Each
worker would then find the caches full of the others' weights, and its two threads would move from core to core.

There is no lock. If a worker dies or is suspended during its turn, others ignore this turn after OVERDUE_SECONDS. If
more workers than cores are in a turn at one time, nothing breaks; they are only slower.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from asyncrl.runtime.control import Control
from asyncrl.system.machine import core_numbers

TURN_ROLLOUTS = 25  # more would save little, and too many updates in a row would come from one worker
TURN_SECONDS = 0.25  # at most, where rollouts take long
OVERDUE_SECONDS = 2.0  # others ignore a turn whose planned end is longer ago than this
SHORTEST_SLEEP = 0.001  # between two checks by a waiting worker
LONGEST_SLEEP = 0.25
BUSY = 0.5  # a turn is idle if the worker's threads were able to run for less than this fraction of it
IDLE_TURNS = 20  # in a row, after which a worker runs without turns, since it leaves its core to others anyway
NO_TURN_SECONDS = 60.0  # without turns after IDLE_TURNS idle ones; doubled each time
THREADS = Path("/proc/self/task")


class CoreScheduler:
    """One worker's part in sharing the cores."""

    def __init__(self, control: Control, worker: int, cores: int | None) -> None:
        """Take turns if there are more workers than ``cores``; None: there are enough cores."""
        self._control, self._worker = control, worker
        self._cores = control.workers if cores is None else cores
        self._longest_wait = OVERDUE_SECONDS + control.workers / self._cores * TURN_SECONDS
        numbers = core_numbers()
        self._numbers = self._bound = numbers if len(numbers) == self._cores else []  # system's ids; []: never bind
        self._takes_turns = control.workers > self._cores
        self._turn_start: float | None = None
        self._rollouts = 0  # in this turn
        self._turn_seconds = 0.0  # that the last turn took
        self._runnable_before = 0.0  # seconds for which this process's threads could run, until the turn began
        self._idle_turns = 0  # in a row
        self._resume_at = 0.0  # when to take turns again
        self._no_turn_seconds = NO_TURN_SECONDS

    def wait_for_turn(self) -> bool:
        """Return False at once while the turn lasts; otherwise wait for the next one, and return True."""
        if not self._takes_turns:
            return False
        now = time.monotonic()
        if now < self._resume_at:
            return False
        if self._turn_start is not None:
            self._rollouts += 1
            self._turn_seconds = now - self._turn_start
            mean = self._turn_seconds / self._rollouts
            left = min(mean * (TURN_ROLLOUTS - self._rollouts), TURN_SECONDS - self._turn_seconds)
            if left > 0:
                self._control.set_turn(self._worker, _nanoseconds(now + left))
                return False
            self._suspend_turns_if_idle(self._turn_seconds)
        if now < self._resume_at:
            return False
        self._wait(now)
        self._turn_start, self._rollouts, self._runnable_before = time.monotonic(), 0, runnable_seconds()
        return True

    def leave(self) -> None:
        """End the turn, and release the core."""
        self._control.set_turn(self._worker, 0)
        self._turn_start = None
        self._bind(self._numbers)

    def _suspend_turns_if_idle(self, seconds: float) -> None:
        """Count an idle turn; after IDLE_TURNS of them in a row, run without turns for a while."""
        if runnable_seconds() - self._runnable_before >= BUSY * seconds:
            self._idle_turns, self._no_turn_seconds = 0, NO_TURN_SECONDS
            return
        self._idle_turns += 1
        if self._idle_turns == IDLE_TURNS:
            self.leave()
            self._resume_at = time.monotonic() + self._no_turn_seconds
            self._idle_turns, self._no_turn_seconds = 0, 2 * self._no_turn_seconds

    def _wait(self, now: float) -> None:
        """Wait in line for a core, and take it."""
        since = _nanoseconds(now)
        self._control.set_turn(self._worker, -since)
        core, due = self._find_core(since)
        while core is None and time.monotonic() - now < self._longest_wait and not self._control.is_stopping:
            # Sleep for half of the expected time only, since a core may become free earlier.
            time.sleep(min(max(due / 2, SHORTEST_SLEEP), LONGEST_SLEEP))
            core, due = self._find_core(since)
        numbers = self._numbers
        if core is not None:
            self._control.set_core(self._worker, core)
            # Other workers ignore a turn longer than OVERDUE_SECONDS, and would bind to the same core.
            if self._turn_seconds < OVERDUE_SECONDS:
                numbers = numbers[core : core + 1]
        end = time.monotonic() + min(self._turn_seconds, TURN_SECONDS)
        self._control.set_turn(self._worker, _nanoseconds(end))
        self._bind(numbers)

    def _find_core(self, since: int) -> tuple[int | None, float]:
        """Return the index of a core to take and 0.0; or None and the seconds until one should be free.

        ``since`` is when the worker began to wait, in nanoseconds.
        """
        now, turn = time.monotonic(), min(self._turn_seconds, TURN_SECONDS)
        stamps = self._control.turns.tolist()  # > 0: planned end of a turn; < 0: minus the start of a wait; 0: neither
        cores = self._control.cores.tolist()
        oldest_end, oldest_wait = _nanoseconds(now - OVERDUE_SECONDS), _nanoseconds(now - self._longest_wait)
        ends = {core: stamp / 1e9 for core, stamp in zip(cores, stamps, strict=True) if stamp > oldest_end}
        free = [core for core in range(self._cores) if core not in ends]
        ahead = sum(oldest_wait < -stamp < since for stamp in stamps)
        if ahead < len(free):
            return free[ahead], 0.0
        # The workers ahead take the free cores at once, for a turn each.
        ends |= dict.fromkeys(free, now + turn)
        rounds, place = divmod(ahead - len(free), self._cores)
        return None, sorted(ends.values())[place] + rounds * turn - now

    def _bind(self, numbers: list[int]) -> None:
        if numbers and numbers != self._bound:
            bind_threads(numbers)
            self._bound = numbers


def bind_threads(numbers: list[int]) -> None:
    """Bind all threads of this process to the cores with these numbers, as far as the system allows it."""
    for thread in os.listdir(THREADS):
        with suppress(OSError):  # it has just ended
            os.sched_setaffinity(int(thread), numbers)


def runnable_seconds() -> float:
    """Return for how many seconds this process's threads have run or waited for a core, all together."""
    try:
        stats = [(THREADS / thread / "schedstat").read_text() for thread in os.listdir(THREADS)]
    except OSError:  # not Linux, or a thread has just ended: use the CPU time instead
        return time.process_time()
    return sum(int(number) for stat in stats for number in stat.split()[:2]) / 1e9


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
