import math
from itertools import product

import numpy as np
import pytest

from asyncrl import floats

NAN, INF, HUGE = math.nan, math.inf, 1e308


@pytest.mark.parametrize(
    ("values", "mean", "median", "std"),
    [
        ([1, 2, 6], 3.0, 2.0, np.std([1, 2, 6])),
        ([7.0], 7.0, 7.0, 0.0),
        ([0.0, 0.0], 0.0, 0.0, 0.0),
        ([], NAN, NAN, NAN),
        ([1.0, NAN, 3.0], NAN, NAN, NAN),
        ([1.0, INF, 3.0], INF, 3.0, NAN),
        ([-INF, -INF, 1.0], -INF, -INF, NAN),
        ([INF, -INF], NAN, NAN, NAN),
        ([HUGE, HUGE, HUGE, HUGE], HUGE, HUGE, 0.0),
        ([HUGE, -HUGE], 0.0, 0.0, HUGE),
        ([-HUGE, -HUGE, 0.0], -HUGE / 1.5, -HUGE, HUGE * math.sqrt(2) / 3),
        ([1e-200, 3e-200], 2e-200, 2e-200, 1e-200),
    ],
)
def test_statistics_of_any_numbers_are_those_of_ieee_754(values, mean, median, std):
    assert floats.mean(values) == pytest.approx(mean, nan_ok=True)
    assert floats.median(values) == pytest.approx(median, nan_ok=True)
    assert floats.std(values) == pytest.approx(std, nan_ok=True, rel=1e-9, abs=0)


def test_statistics_of_odd_numbers_raise_nothing():
    for values in product([NAN, INF, -INF, HUGE, -HUGE, 5e-324, 0.0, -1.5], repeat=3):
        assert isinstance(floats.mean(values) + floats.median(values) + floats.std(values), float)


@pytest.mark.parametrize(
    ("value", "finite"),
    [(1, True), (-2.5, True), (10**400, True), (NAN, False), (INF, False), (-INF, False), (None, False), ("1", False)],
)
def test_is_finite(value, finite):
    assert floats.is_finite(value) is finite
