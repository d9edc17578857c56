"""The press: many panels are drawn by several processes at once."""

import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue

from asyncrl.report import plot
from asyncrl.system.child_process import block_signals

PANELS_A_PROCESS = 20  # it takes as long to start
CONTEXT = get_context("spawn")

Drawings = Generator[plot.Drawing, None, None]


def draw_all(panels: Sequence[plot.Panel], processes: int = 1) -> Drawings:
    """Draw panels in their order; many are shared out among up to so many processes, which end with this one.

    What several of them warn of is said once.
    """
    said: set[str] = set()
    with closing(_draw_all(panels, min(processes, len(panels) // PANELS_A_PROCESS))) as drawings:
        for drawing in drawings:
            for text in sorted(drawing.warnings - said):
                warnings.warn(text, stacklevel=1)
            said |= drawing.warnings
            yield drawing


def _draw_all(panels: Sequence[plot.Panel], processes: int) -> Drawings:
    done = 0
    if processes > 1:
        with suppress(EOFError, OSError, RuntimeError), _presses(processes) as (threads, idle):
            for drawing in threads.map(lambda panel: _have_drawn(panel, idle), panels):
                done += 1
                yield drawing
    yield from map(plot.draw, panels[done:])  # all, or what is left where one was killed or none could be started


@contextmanager
def _presses(number: int) -> "Iterator[tuple[ThreadPoolExecutor, SimpleQueue[Connection]]]":
    """Start processes that draw, and as many threads to wait for them; end them at once.

    Each has a pipe of its own: in one that they share, what a killed process was about to say is waited for for ever.
    """
    idle: SimpleQueue[Connection] = SimpleQueue()
    pipes = [CONTEXT.Pipe() for _ in range(number)]
    with ExitStack() as stack:
        for ours, _ in pipes:
            idle.put(stack.enter_context(ours))
        threads = stack.enter_context(ThreadPoolExecutor(number))
        with block_signals([signal.SIGINT]):  # Ctrl-C is for this one to hear
            for _, theirs in pipes:
                with theirs:
                    process = CONTEXT.Process(target=_press, args=(theirs,), daemon=True)
                    process.start()
                stack.callback(process.join)
                stack.callback(process.kill)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        yield threads, idle


def _have_drawn(panel: plot.Panel, idle: "SimpleQueue[Connection]") -> plot.Drawing:
    press = idle.get()
    try:
        press.send(panel)
        drawing: plot.Drawing = press.recv()
    finally:
        idle.put(press)
    return drawing


def _press(pipe: Connection) -> None:
    with suppress(Exception):  # the report has ended; or it meets the same itself, and tells
        while True:
            pipe.send(plot.draw(pipe.recv()))
