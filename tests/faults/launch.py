"""Runs by the command line, in process groups of their own, to be struck."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.runtime.setups import is_alive, wait_until


def arguments(results: Path, name: str = "mine", *settings: str, **options: object) -> list[str]:
    """Return a command that trains a small run; options are those of ``asyncrl run``."""
    table = {"env": "tests.toys:Corridor", "threads": 2, "frames": "1G", "name": name, "results": results} | options
    words = [word for key, value in table.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    sets = [word for setting in ("evaluation.episodes=0", "log_seconds=0.2", *settings) for word in ("--set", setting)]
    return [sys.executable, "-m", "asyncrl", "run", *words, *sets]


@contextmanager
def launched(command: list[str], said: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a command in a session of its own; nothing of it is left behind."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with said.open("a") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=environment, start_new_session=True, preexec_fn=heed_signals
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        wait_until(lambda: not group(process.pid), seconds=5)  # it is Python's tracker that cleans up /dev/shm
        for pid in group(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def heed_signals() -> None:
    """Do not inherit that SIGINT is ignored, as in the background of a shell, or SIGHUP, as under nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def group(session: int) -> set[int]:
    """Return the living processes of a session."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return {pid for pid in pids if _session(pid) == session and is_alive(pid)}


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
