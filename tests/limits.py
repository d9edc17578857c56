"""Real limits of a process, lowered for a while."""

import resource
from contextlib import contextmanager


@contextmanager
def limited(which, number):
    """Hold this process to a soft limit."""
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


def full(number=1_000):
    """Let no file grow beyond so many bytes, which is how a full disk looks to who writes."""
    return limited(resource.RLIMIT_FSIZE, number)
