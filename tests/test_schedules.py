import pytest

from asyncrl.schedules import crossed, linear


def test_a_straight_line_that_stays_at_its_end():
    assert [linear(1.0, 0.1, T, 100) for T in (0, 50, 100, 101, 10**9)] == pytest.approx([1, 0.55, 0.1, 0.1, 0.1])
    assert linear(7e-4, 0.0, 25, 100) == pytest.approx(5.25e-4)


def test_no_duration_is_the_end_at_once():
    assert linear(1.0, 0.1, 0, 0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("before", "after", "yes"),
    [(0, 5, False), (0, 10, True), (9, 10, True), (10, 11, False), (10, 19, False), (8, 12, True), (8, 35, True),
     (10, 20, True), (19, 19, False), (20, 20, False)],
)  # fmt: skip
def test_crossing_a_multiple_of_ten(before, after, yes):
    assert crossed(before, after, 10) is yes


@pytest.mark.parametrize("stride", [1, 3, 5, 7, 16])
def test_every_multiple_is_crossed_once_whatever_the_stride(stride):
    steps = range(0, 1000 * stride, stride)
    assert sum(crossed(T, T + stride, 40) for T in steps) == 1000 * stride // 40
