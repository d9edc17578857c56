"""What a child process does first. It imports nothing that takes long: its parent may die meanwhile."""

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

from asyncrl.system import output

PR_SET_PDEATHSIG = 1

Call = tuple[Callable[..., None], tuple[Any, ...]]


class DeferredCall:
    """A call, pickled by itself: the modules it needs, such as torch, are imported when it is unpickled."""

    def __init__(self, call: Call) -> None:
        """Take a function and its arguments."""
        self._call = call

    def __getstate__(self) -> bytes:
        """Pickle the call; this happens while a process is being started, so that memory can be shared."""
        return bytes(ForkingPickler.dumps(self._call))

    def __setstate__(self, state: bytes) -> None:
        """Keep the pickled call."""
        self._state = state

    def load(self) -> Call:
        """Unpickle and return the call."""
        call: Call = pickle.loads(self._state)  # the parent has just sent it
        return call


@contextmanager
def without_missing_main_file() -> Iterator[None]:
    """Hide the main module's file if there is none, so that children do not try to import it.

    Where a program is read from standard input, Python names its file ``<stdin>``.
    """
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or os.path.exists(file):
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = file


@contextmanager
def block_signals(signals: Iterable[int]) -> Iterator[None]:
    """Block signals in this thread for a moment, and in children that it starts meanwhile until they unblock them."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # inherited
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        resource_tracker.ensure_running()  # this call unblocks SIGINT and SIGTERM in Python 3.11
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies; end at once if the parent is dead already.

    The kernel sends it when the *thread* that started this process ends, so that must be the parent's main thread.
    """
    if sys.platform == "linux":  # elsewhere a broken pipe ends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def run_deferred(call: DeferredCall) -> None:
    """Have this process end when its parent dies, and make the call.

    An environment that prints does not fail where the reader of its output has left.
    """
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid, signal.SIGKILL)
    output.guard()
    target, args = call.load()
    target(*args)
