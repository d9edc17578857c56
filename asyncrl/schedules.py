"""Schedules of the global step counter T: nothing here may know how many workers there are."""


def linear(start: float, end: float, T: int, duration: int) -> float:
    """Anneal from ``start`` at T = 0 to ``end`` at T = ``duration`` (steps) in a straight line, then stay."""
    fraction = min(T / duration, 1.0) if duration > 0 else 1.0
    return start + fraction * (end - start)


def crossed(before: int, after: int, period: int) -> bool:
    """Say whether a multiple of ``period`` lies in ``(before, after]``: T moves by more than one at a time."""
    return after // period > before // period
