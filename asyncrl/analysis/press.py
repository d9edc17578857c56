"""The press: many panels are drawn by several processes at once."""

import signal
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from multiprocessing import get_context

from asyncrl.analysis import ink
from asyncrl.birth import tie, unheard

PANELS_A_PROCESS = 20  # it takes as long to start

Drawings = Generator[ink.Drawing, None, None]


def draw_all(panels: Sequence[ink.Panel], processes: int = 1) -> Drawings:
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


def _draw_all(panels: Sequence[ink.Panel], processes: int) -> Drawings:
    done = 0
    if processes > 1:
        with suppress(BrokenProcessPool, OSError):  # one was killed, or none could be started: this one draws the rest
            pool = ProcessPoolExecutor(processes, get_context("spawn"), tie)
            try:
                with unheard([signal.SIGINT]):  # Ctrl-C is for this one to hear
                    drawings = pool.map(ink.draw, panels)
                for drawing in drawings:
                    done += 1
                    yield drawing
            finally:
                pool.shutdown(cancel_futures=True)
    yield from map(ink.draw, panels[done:])
