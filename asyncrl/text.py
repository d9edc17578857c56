"""Short texts of numbers, for tables and messages."""

import math
from collections.abc import Sequence
from itertools import pairwise

NOTHING = "–"


def count(number: float) -> str:
    """Write 1,234,567 as ``1.23M``; anything under 10,000 in full."""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * unit:  # so that 999,999 is 1M, not 1000k
            return f"{float(f'{number / unit:.3g}'):g}{name}"
    raise AssertionError(number)


def counted(things: int, name: str) -> str:
    """Write ``1 run`` and ``2 runs``."""
    return f"{things:,} {name}{'s' * (things != 1)}"


def clock(seconds: float) -> str:
    """Write 3,725 seconds as ``1:02:05``, and more than two days as ``3d 4h``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d {hours % 24}h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def number(value: float | None) -> str:
    """Write a statistic with three digits: ``0.123``, ``6.1e-4``, ``1.23e5``."""
    if value is None or value != value:
        return NOTHING
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{float(f'{value:.3g}'):g}"


def score(value: float | None) -> str:
    """Write an episode's score: with one decimal, or none if it is whole or large."""
    if value is None or value != value:
        return NOTHING
    if abs(value) >= 100_000:
        return count(value)
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.1f}"


def downsampled(values: Sequence[float], width: int) -> list[float]:
    """Return at most ``width`` values: the values themselves, or means of neighbours if there are more."""
    edges = [i * len(values) // width for i in range(width + 1)] if len(values) > width else range(len(values) + 1)
    return [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]


def bars(values: Sequence[float], width: int, height: int) -> list[str]:
    """Draw values as bars of ``height`` rows, the top row first.

    The bar of the lowest value is an eighth of a row high; a value that is not finite has no bar.
    """
    shown = downsampled(values, width)
    finite = [value for value in shown if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = (high - low) or 1.0
    eighths = [1 + round((8 * height - 1) * (value - low) / span) if math.isfinite(value) else 0 for value in shown]
    rows = range(height - 1, -1, -1)
    return ["".join(" ▁▂▃▄▅▆▇█"[max(0, min(8, eighth - 8 * row))] for eighth in eighths) for row in rows]


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw the last ``width`` values as one line of bars, from the lowest to the highest."""
    shown = values[-width:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    height = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (value - low) / height)] for value in shown)
