"""Where an actor-learner's time goes."""

import time

PHASES = ("environment", "act", "learn", "apply", "events", "waiting")


class Stopwatch:
    """Charges all time to phases: each lap what has passed since the lap before."""

    def __init__(self, running: bool) -> None:
        """Start; one that is not running costs next to nothing and has nothing to say."""
        self._running = running
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Charge the time since the last lap to one of PHASES."""
        if self._running:
            now = time.perf_counter()
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
            self._last = now

    def take(self) -> dict[str, float]:
        """Return the seconds of each phase since this was last asked."""
        taken, self._seconds = self._seconds, {}
        return taken
