"""Child processes: how they are started, and what each does first."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from asyncrl.errors import STOPS, InputError
from asyncrl.kernels import native
from asyncrl.system.child_process import DeferredCall, block_signals, run_deferred, without_missing_main_file
from asyncrl.system.main_guard import is_unguarded

CONTEXT = multiprocessing.get_context("spawn")  # a forked torch deadlocks in its thread pools
JOIN_SECONDS = 5.0  # for a process that has sent all events, for instance to close its environments
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
LIBRARY_VARIABLES = {
    "OMP_WAIT_POLICY": "PASSIVE",  # a waiting thread that spins takes the core that it waits for
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's large tensors in huge pages: θ′ is read as a whole at every step
}
PARENT_SIGNALS = tuple(STOPS)  # signals that only the parent acts on
NAME = "asyncrl-"  # the names of this package's processes begin with this
START_LOCK = threading.Lock()  # held while this process's environment and main module are those of a child
NO_MAIN_GUARD = 78  # exit code of a child that was about to train again
GUARD_ADVICE = 'trains when it is imported, as every worker does: put the training under if __name__ == "__main__":'


def require_main_guard() -> None:
    """Refuse to train in a script whose import trains, before anything is written.

    Where that could not be seen in the script, a process of this package imports it, and would start the training that
    it is a part of. It ends here.

    Raises:
        SystemExit: in a process of this package; its parent reports the exit code.
        InputError: in another process.
    """
    process = multiprocessing.current_process()
    # Python sets this while a spawned process imports the main module, and starts no process then
    if getattr(process, "_inheriting", False):
        if process.name.startswith(NAME):
            sys.exit(NO_MAIN_GUARD)
        raise InputError(f"{sys.argv[0]} {GUARD_ADVICE}")
    if is_unguarded():
        raise InputError(f"{sys.argv[0]} {GUARD_ADVICE}")


def describe_exit(code: int) -> str:
    """Say how a process ended that should not have ended."""
    if code == NO_MAIN_GUARD:
        return f"could not start, since {sys.argv[0]} {GUARD_ADVICE}"
    return "exited unexpectedly " + (f"(signal {-code})" if code < 0 else f"(exit code {code})")


def start(target: Callable[..., None], args: tuple[Any, ...], name: str, threads: int) -> BaseProcess:
    """Spawn a process whose libraries use ``threads`` threads; it must call ``enter`` first.

    The thread variables must be there before the child imports torch, and a signal to the whole process group, such as
    Ctrl-C, must not end the child before it can ignore it.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | LIBRARY_VARIABLES
    if native.load() is None:  # built here once, not by every child
        variables["ASYNCRL_NATIVE"] = "0"
    with START_LOCK, block_signals(PARENT_SIGNALS), without_missing_main_file():
        old = {variable: os.environ.get(variable) for variable in variables}
        try:
            os.environ.update(variables)
            process = CONTEXT.Process(target=run_deferred, args=(DeferredCall((target, args)),), name=name, daemon=True)
            process.start()
        finally:
            for variable, value in old.items():
                if value is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = value
    return process


def enter(threads: int) -> None:
    """Set up a child: ignore signals that the parent handles, limit torch's threads."""
    for number in PARENT_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENT_SIGNALS)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # g of a weight without gradient decays to subnormal numbers, which are slow
