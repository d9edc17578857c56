"""Calls that are repeated while they fail, and the delays between them."""

import pytest

from asyncrl.cluster import repeating
from asyncrl.cluster.repeating import backoff, repeat


def test_backoff_doubles_up_to_the_longest_delay_after_any_number_of_failures():
    assert [backoff(0.5, 30.0, n) for n in (1, 2, 3, 6, 7, 8, 10**6)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]


def failing(errors):
    """Return a call that raises these errors in turn, and then returns how often it was called."""
    calls = iter([*errors, None])
    count = 0

    def call():
        nonlocal count
        count += 1
        if (error := next(calls)) is not None:
            raise error
        return count

    return call


def test_repeat_makes_a_call_until_it_does_not_fail(monkeypatch):
    monkeypatch.setattr(repeating, "FIRST_DELAY", 0.0)
    assert repeat(failing([ConnectionError()] * 3), 60.0) == 4


@pytest.mark.parametrize(("error", "patience"), [(ConnectionError(), 0.0), (ValueError(), 60.0)])
def test_repeat_raises_the_error_of_a_call_that_fails_for_too_long_or_otherwise(error, patience):
    with pytest.raises(type(error)):
        repeat(failing([error]), patience)
