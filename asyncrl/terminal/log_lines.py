"""The progress of a run as plain lines of a log, and the parts that the live view shares with them."""

import time
from collections.abc import Callable

from asyncrl.terminal.nodes import push_rates
from asyncrl.text import clock, count, escape, number, score, shorten
from asyncrl.training.progress import Progress

STATISTICS = ("loss", "entropy", "q", "value", "grad_norm", "policy_lag")  # shown first, in this order
SHORT = {"grad_norm": "grad", "policy_lag": "lag"}
LONGEST = 60.0  # seconds between plain lines, at most


class LogLines:
    """One line per interval, which grows with the run up to a minute; evaluations and the end are written at once."""

    def __init__(self, seconds: float, write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        """Write lines of text at least ``seconds`` apart, by the clock ``now``."""
        self._seconds, self._write, self._now = seconds, write, now
        self._start = self._due = now()
        self._written: tuple[int, bool] | None = None

    def __call__(self, progress: Progress) -> None:
        """Write a line if one is due."""
        now, state = self._now(), (len(progress.evaluations), progress.phase == "done")
        if state == self._written and (now < self._due or progress.phase == "starting"):
            return
        self._written = state
        self._due = now + max(self._seconds, min((now - self._start) / 20, LONGEST))
        self._write(line(progress))


def line(progress: Progress) -> str:
    """Return the progress as one line, for logs."""
    p = progress
    parts = [f"{done(p):5.1%}", f"{count(p.frames)}/{count(p.budget)} frames"]
    if p.phase != "training":
        parts.append(p.phase)
    if p.frames_per_second:
        parts.append(f"{rate(p)} f/s")
        parts += [f"{left(p)} left"] if p.phase != "done" and left(p) else []
    if p.last_score is not None:
        parts.append(f"score {score(p.mean_score)} (last {score(p.last_score)})")
    parts += [f"{name} {value}" for name, value in statistics(p)]
    if p.evaluations:
        parts.append(f"eval {score(p.evaluations[-1][1])}")
    parts += push_rates(p)
    parts += health(p)
    return "  ".join(parts)


def health(progress: Progress) -> list[str]:
    """Return counts of recovered problems, and the reason why the run cannot be saved at present."""
    p = progress
    problems = [f"{count(p.restarts)} worker{'s' * (p.restarts > 1)} replaced"] if p.restarts else []
    problems += [f"{count(p.skipped)} update{'s' * (p.skipped > 1)} skipped"] if p.skipped else []
    problems += [f"{count(p.lost)} row{'s' * (p.lost > 1)} lost"] if p.lost else []
    return problems + ([f"cannot save: {escape(shorten(p.store_problem))}"] if p.store_problem else [])


def statistics(progress: Progress) -> list[tuple[str, str]]:
    """Return the learning rate and the statistics of the last interval, the most important first."""
    known = [name for name in STATISTICS if name in progress.statistics]
    names = known + [name for name in progress.statistics if name not in STATISTICS]
    shown = [(SHORT.get(name, escape(name)).replace("_", " "), number(progress.statistics[name])) for name in names]
    return [("lr", number(progress.learning_rate)), *shown]


def done(progress: Progress) -> float:
    """Return the part of the budget that was made, at most 1."""
    return min(progress.frames / progress.budget, 1.0)


def rate(progress: Progress) -> str:
    """Return the frames per second in full, or with three digits where they are many."""
    value = progress.frames_per_second
    return f"{value:,.0f}" if abs(value) < 1e7 else count(value)


def left(progress: Progress) -> str:
    """Return the time left; empty before there is a rate."""
    if not progress.frames_per_second > 0:
        return ""
    return clock(max(progress.budget - progress.frames, 0) / progress.frames_per_second)
