"""Signals that ask a run to stop."""

import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Self


class StopSignals:
    """Handles signals as a context manager, which puts the old handlers back at its end."""

    def __init__(self, signals: Iterable[signal.Signals], stop: Callable[[], None]) -> None:
        """Call ``stop`` at the first of the signals; a second one raises KeyboardInterrupt."""
        self.received: signal.Signals | None = None
        self._signals, self._stop = tuple(signals), stop
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, but not for signals that are ignored: nohup has SIGHUP ignored."""
        handled = [number for number in self._signals if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Put the old handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1 and self.received is not None:
            return  # schedulers warn a process and its group, or again and again, and do not mean: at once
        if self.received not in (None, signal.SIGUSR1):
            raise KeyboardInterrupt  # the user asked twice: end at once
        self.received = signal.Signals(number)
        self._stop()
