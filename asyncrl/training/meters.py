"""The parts of a run's metrics: the training clock, rates of workers, the curve of scores, tracebacks written once."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncrl import floats
from asyncrl.events import RECENT_EPISODES
from asyncrl.text import LONGEST_LINE, bounded
from asyncrl.training.progress import WorkerView

TRACEBACKS = 50  # different ones of a session that are written in full
SMOOTHING = 0.8  # of the rates shown
SHORTEST_SPAN = 0.25  # seconds over which a rate is measured: the last intervals of a run are shorter


class Clock:
    """Seconds of training; it is stopped while the workers are parked."""

    digits = 3  # of seconds in rows
    shortest_span = SHORTEST_SPAN  # seconds

    def __init__(self, seconds: float) -> None:
        """Begin with the seconds of earlier sessions, stopped."""
        self._before = seconds
        self._since: float | None = None

    @property
    def elapsed(self) -> float:
        """Return the real seconds so far."""
        return self._before + (time.monotonic() - self._since if self._since is not None else 0.0)

    @property
    def seconds(self) -> float:
        """Return the seconds so far, as rows have them."""
        return self.elapsed

    @property
    def shown(self) -> float:
        """Return the seconds so far, as the view has them."""
        return self.elapsed

    def set(self, seconds: float | None) -> None:
        """Ignore virtual seconds."""

    def start(self) -> None:
        """Start or continue."""
        self._since = self._since if self._since is not None else time.monotonic()

    def stop(self) -> None:
        """Stop; a stopped clock stays as it is."""
        self._before, self._since = self.elapsed, None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop, and continue afterwards if it was running."""
        was_running = self._since is not None
        self.stop()
        yield
        if was_running:
            self.start()


class VirtualClock(Clock):
    """Seconds of simulated time, as events name them; real time is for the view alone."""

    digits = 6
    shortest_span = 1e-6

    def __init__(self, seconds: float) -> None:
        """Begin with the virtual seconds of earlier sessions."""
        super().__init__(0.0)
        self._virtual = seconds

    def set(self, seconds: float | None) -> None:
        """Show later virtual seconds."""
        self._virtual = max(self._virtual, seconds or 0.0)

    @property
    def seconds(self) -> float:
        """Return the virtual seconds so far."""
        return self._virtual

    @property
    def shown(self) -> float:
        """Return the real seconds of this session."""
        return self.elapsed


class Curve:
    """Values at equal intervals, in bounded memory: when it is full, every second one is dropped."""

    def __init__(self, most: int) -> None:
        """Keep at most ``most`` points."""
        self.points: list[float] = []
        self._most, self._every, self._seen = most, 1, 0

    def append(self, value: float) -> None:
        """Take in the next value."""
        if self._seen % self._every == 0:
            self.points.append(value)
            if len(self.points) == self._most:
                del self.points[1::2]
                self._every *= 2
        self._seen += 1


class WorkerScores:
    """Counts and scores of one actor-learner."""

    def __init__(self) -> None:
        self.steps_per_second = 0.0
        self._steps = 0  # since the rate was measured
        self._measured: float | None = None  # when; None before the first report, since a process takes long to start
        self.episodes = 0
        self.scores: deque[float] = deque(maxlen=RECENT_EPISODES)
        self.epsilon: float | None = None

    def add_steps(self, steps: int) -> None:
        """Count the steps of an interval that ends now, and measure their rate."""
        now = time.monotonic()
        if self._measured is None:
            self._measured = now
            return
        self._steps += steps
        span = now - self._measured
        if span < SHORTEST_SPAN:
            return
        rate, before = self._steps / span, self.steps_per_second
        self.steps_per_second = SMOOTHING * before + (1 - SMOOTHING) * rate if before else rate
        self._measured, self._steps = now, 0

    def restart_rate(self) -> None:
        """Leave the time until now out of the rate."""
        if self._measured is not None:
            self._measured, self._steps = time.monotonic(), 0

    def view(self, i: int) -> WorkerView:
        """Return what the live view shows of worker ``i``."""
        last, mean = (self.scores[-1], floats.mean(self.scores)) if self.scores else (None, None)
        return WorkerView(i, self.steps_per_second, self.episodes, last, mean, self.epsilon)


class Tracebacks:
    """Writes each traceback of a session once, so that repeated failures keep failures.jsonl small."""

    def __init__(self) -> None:
        self._frames: dict[str, int] = {}  # of the first row with these lines of code

    def shortened(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of failures; a traceback of the same lines of code as an earlier one becomes a reference."""
        places = "".join(line for line in row["traceback"].splitlines() if 'File "' in line)
        if not places:
            return row
        if places in self._frames:
            text = f"the same lines of code as in the row at {self._frames[places]} frames\n"
            return row | {"traceback": text}
        if len(self._frames) == TRACEBACKS:
            return row | {"traceback": bounded(row["traceback"], LONGEST_LINE)}
        self._frames[places] = row["frames"]
        return row
