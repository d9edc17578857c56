"""What is tried again after a failure: calls to another machine, and starts of what was lost."""

import time
from collections.abc import Callable
from typing import TypeVar

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds before a failed call is repeated, doubled each time
MOST_DOUBLINGS = 30  # 2.0 to the power of a large number is no float

Result = TypeVar("Result")


def repeat(call: Callable[[], Result], patience: float) -> Result:
    """Make a call, and repeat it while it raises ConnectionError, for at most ``patience`` seconds."""
    deadline, failures = time.monotonic() + patience, 0
    while True:
        try:
            return call()
        except ConnectionError:
            failures += 1
            delay = backoff(FIRST_DELAY, LONGEST_DELAY, failures)
            if time.monotonic() + delay > deadline:
                raise
        time.sleep(delay)


def backoff(first: float, longest: float, failures: int) -> float:
    """Return the delay after so many failures (≥ 1): ``first``, doubled by each further one, at most ``longest``."""
    return min(longest, first * 2.0 ** min(failures - 1, MOST_DOUBLINGS))
