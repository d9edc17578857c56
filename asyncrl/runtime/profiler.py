"""Where an actor-learner's time goes."""

import time

from asyncrl.runtime import worker

PHASES = (*worker.PHASES, "events", "waiting")


class Profiler:
    """Charges all time to phases: each ``end`` the time since the one before."""

    def __init__(self, is_on: bool) -> None:
        """Start; a profiler that is off costs next to nothing and reports nothing."""
        self._is_on = is_on
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, phase: str) -> None:
        """Charge the time since the last call to one of PHASES."""
        if self._is_on:
            now = time.perf_counter()
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
            self._last = now

    def take(self) -> dict[str, float]:
        """Return the seconds of each phase since the last call."""
        taken, self._seconds = self._seconds, {}
        return taken
