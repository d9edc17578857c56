"""Statistics of numbers that may be NaN, infinite, or so large that their sum overflows; none raises an error.

NaN among the numbers makes a statistic NaN, as in IEEE 754: no number is left out silently.
"""

import math
import statistics
from collections.abc import Collection


def is_finite(value: object) -> bool:
    """Return whether a value is a number, and neither NaN nor infinite."""
    return isinstance(value, int | float) and -math.inf < value < math.inf


def mean(values: Collection[float]) -> float:
    """Return the mean; ±inf with infinite values of one sign, NaN with both signs or without any value."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.fsum(value / len(values) for value in values)
    except (ValueError, ZeroDivisionError):
        return math.nan


def median(values: Collection[float]) -> float:
    """Return the median; NaN if a value is NaN."""
    if not values or any(map(math.isnan, values)):
        return math.nan
    return mean([statistics.median_low(values), statistics.median_high(values)])


def std(values: Collection[float]) -> float:
    """Return the standard deviation of a population; NaN if a value is not finite."""
    if not values or not all(map(math.isfinite, values)):
        return math.nan
    scale = max(map(abs, values)) or 1.0
    if 1e-100 < scale < 1e100:
        return statistics.pstdev(values)
    return scale * statistics.pstdev([value / scale for value in values])
