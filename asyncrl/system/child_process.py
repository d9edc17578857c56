"""The first thing that a child does. It imports nothing that takes long: its parent may die meanwhile."""

import ctypes
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.reduction import ForkingPickler
from typing import Any

PR_SET_PDEATHSIG = 1

Call = tuple[Callable[..., None], tuple[Any, ...]]


class Sealed:
    """A call to make, pickled apart: what it needs, such as torch, is imported when it is opened."""

    def __init__(self, call: Call) -> None:
        """Take a function and its arguments."""
        self._call = call

    def __getstate__(self) -> bytes:
        """Seal; while a process is being started, so that memory can be shared."""
        return bytes(ForkingPickler.dumps(self._call))

    def __setstate__(self, state: bytes) -> None:
        """Stay sealed."""
        self._state = state

    def open(self) -> Call:
        """Return the call."""
        call: Call = pickle.loads(self._state)  # what the parent has just sent
        return call


@contextmanager
def unheard(signals: Iterable[int]) -> Iterator[None]:
    """Keep signals from this thread for a moment, and from the children that it starts meanwhile until they ask."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # inherited
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        resource_tracker.ensure_running()  # which, in Python 3.11, lets SIGINT and SIGTERM through
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def begin(sealed: Sealed) -> None:
    """Tie this process's life to its parent's, and make the call."""
    if sys.platform == "linux":  # elsewhere the broken pipe ends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it died before that
        os._exit(1)
    target, args = sealed.open()
    target(*args)
