"""Schedules as functions of the global step counter T; they do not depend on the number of workers."""


def linear(start: float, end: float, T: int, duration: int) -> float:
    """Anneal linearly from ``start`` at T = 0 to ``end`` at T = ``duration`` (steps); stay at ``end`` afterwards."""
    fraction = min(T / duration, 1.0) if duration > 0 else 1.0
    return start + fraction * (end - start)


def crossed(before: int, after: int, period: int) -> bool:
    """Return whether a multiple of ``period`` lies in ``(before, after]``: T increases by more than one at a time."""
    return after // period > before // period


def period(frames: int, frames_per_step: int) -> int:
    """Return an interval of ``frames`` in steps, at least one."""
    return max(1, frames // frames_per_step)


def next_multiple(T: int, period: int) -> int:
    """Return the first multiple of ``period`` above T."""
    return (T // period + 1) * period
