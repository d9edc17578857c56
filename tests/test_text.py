import math

import pytest

from asyncrl import text


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_999, "1M"),
        (1_234_567, "1.23M"),
        (10_000_000, "10M"),
        (2.5e9, "2.5G"),
        (-123_456, "-123k"),
        (None, "–"),
    ],
)
def test_counts_keep_three_digits(number, written):
    assert text.count(number) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0:00"), (59.6, "1:00"), (3_725, "1:02:05"), (172_800 + 3_600, "2d 1h"), (None, "–")]
)
def test_clock(seconds, written):
    assert text.clock(seconds) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (0.1234, "0.123"), (6.1e-4, "6.1e-4"), (-31.46, "-31.5"), (123_456.0, "1.23e5"), (None, "–")],
)
def test_numbers_keep_three_digits(value, written):
    assert text.number(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0:00"), (0.0456, "0.046 s"), (0.46, "0.46 s"), (32.4, "32 s"), (59.6, "1:00")]
)
def test_duration_of_less_than_a_minute_has_seconds_and_their_parts(seconds, written):
    assert text.duration(seconds) == written


@pytest.mark.parametrize("write", [text.count, text.number, text.score, text.clock])
def test_numbers_that_are_not_finite_are_named(write):
    assert [write(float(name)) for name in ("nan", "inf", "-inf")] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize("write", [text.count, text.number, text.score])
def test_huge_numbers_are_written_with_an_exponent(write):
    assert write(1.234e300) == "1.23e300"


@pytest.mark.parametrize("write", [text.count, text.clock, text.number, text.score])
@pytest.mark.parametrize(("value", "written"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_what_is_not_a_number_is_written_by_name(write, value, written):
    assert write(value) == written


@pytest.mark.parametrize("write", [text.count, text.number, text.score])
@pytest.mark.parametrize("value", [1e308, -1e308, 10**400, -(10**400), 5e-324, 1e15])
def test_extreme_number_is_short(write, value):
    assert len(write(value)) <= 9


@pytest.mark.parametrize(
    ("value", "written"),
    [(-21.0, "-21"), (-20.15, "-20.1"), (1_234.5, "1,234"), (99_999.0, "99,999"), (123_456.0, "123k"), (None, "–")],
)
def test_scores(value, written):
    assert text.score(value) == written


def test_a_sparkline_spans_its_values_and_shows_the_last_ones():
    assert text.sparkline([-21, 0, 21]) == "▁▅█"
    assert text.sparkline([5, 5]) == "▁▁"
    assert text.sparkline([]) == ""
    assert text.sparkline([100, 1, 2, 3], width=3) == "▁▅█"
    assert text.sparkline([0, math.nan, 1, math.inf, -math.inf]) == "▁·█··"
    assert text.sparkline([-1e308, 0, 1e308]) == "▁▅█"


def test_bars_span_their_values_from_an_eighth_of_a_row_to_all_rows():
    assert text.bars([0, 7, 15], 3, 2) == ["  █", "▁██"]
    assert text.bars([5, 5], 9, 2) == ["  ", "▁▁"]
    assert text.bars([], 9, 2) == ["", ""]
    assert text.bars([0, float("nan"), 1, float("inf")], 9, 1) == ["▁ █ "]


def test_downsampled_values_are_means_of_neighbours():
    assert text.downsampled([1, 3, 5, 7], 2) == [2, 6]
    assert text.downsampled([1, 2, 3], 3) == [1, 2, 3]
    assert len(text.downsampled(list(range(1000)), 69)) == 69


def test_one_thing_is_not_several():
    assert [text.counted(n, "run") for n in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]
