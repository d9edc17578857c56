"""How a run ends early: by a failure, or by a signal, which is heard here."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from asyncrl.errors import STOPS, Exit


class RunFailed(Exception):
    """A run that could not go on. Its text is one line."""

    def __init__(self, run: Path, reason: str, code: Exit) -> None:
        """Name the run, the reason and the exit code."""
        super().__init__(reason)
        self.run, self.reason, self.code = run, reason, code


class Stopped(Exception):
    """A run that a signal asked to stop, and that did, with a checkpoint."""

    def __init__(self, run: Path, code: Exit) -> None:
        """Name the run and the exit code."""
        names = {exit_code: number.name for number, exit_code in STOPS.items()} | {Exit.INTERRUPTED: "Ctrl-C"}
        super().__init__(f"stopped by {names[code]}")
        self.run, self.code = run, code


class Ears:
    """Hears the signals that ask a run to end, as a context manager that puts back what was there."""

    def __init__(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called by the first signal; one more raises KeyboardInterrupt."""
        self.heard: signal.Signals | None = None
        self._stop = stop
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Listen, but not to what is ignored: nohup has SIGHUP ignored."""
        heeded = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._hear) for number in heeded}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1 and self.heard is not None:
            return  # schedulers warn a process and its group, or again and again, and mean no hurry
        if self.heard not in (None, signal.SIGUSR1):
            raise KeyboardInterrupt  # asked twice: now
        self.heard = signal.Signals(number)
        self._stop()
