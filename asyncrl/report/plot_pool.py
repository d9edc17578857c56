"""Step "plot" of a report, in parallel: a pool of processes draws the panels; if it fails, this process draws the rest.

Panels and drawings travel in temporary files, and only file names and flags through the pipes of the pool. A message
that is shorter than ``PIPE_BUF`` is written as a whole or not at all, so a killed process cannot leave half of one, for
which the pool would wait for ever.
"""

import os
import pickle
import shutil
import signal
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from asyncrl.report import plot
from asyncrl.system.child_process import block_signals

PANELS_PER_PROCESS = 20  # a process takes as long to start as these take to draw
SUBMITTED_PER_PROCESS = 4  # panels submitted before the first result is needed
RESULT_TIMEOUT = 60.0  # seconds to wait for the next panel

Drawings = Generator[plot.Drawing, None, None]


def draw_all(panels: Sequence[plot.Panel], processes: int = 1) -> Drawings:
    """Yield the drawings of panels in their order; a warning that several panels cause is issued once.

    Many panels are drawn by up to ``processes`` processes, which are stopped when the generator ends or is closed.
    """
    issued: set[str] = set()
    with closing(_draw_all(panels, min(processes, len(panels) // PANELS_PER_PROCESS))) as drawings:
        for drawing in drawings:
            for text in sorted(drawing.warnings - issued):
                warnings.warn(text, stacklevel=1)
            issued |= drawing.warnings
            yield drawing


def _draw_all(panels: Sequence[plot.Panel], processes: int) -> Drawings:
    drawn = 0
    if processes > 1:
        # OSError: a process or file cannot be created, or timeout; RuntimeError: broken pool, or drawing has failed
        with suppress(OSError, RuntimeError), closing(_draw_in_pool(panels, processes)) as drawings:
            for drawing in drawings:
                drawn += 1
                yield drawing
    yield from map(plot.draw, panels[drawn:])


def _draw_in_pool(panels: Sequence[plot.Panel], processes: int) -> Drawings:
    pending: deque[tuple[Path, Future[bool]]] = deque()
    with TemporaryDirectory(prefix="asyncrl-plots-") as folder, _pool(processes, folder) as pool:
        for number, panel in enumerate(panels):
            file = Path(folder, str(number))
            file.write_bytes(pickle.dumps(panel))
            # submit may start a process, which inherits the signal mask: only this process handles Ctrl-C
            with block_signals([signal.SIGINT]):
                pending.append((file, pool.submit(_draw_file, file)))
            if len(pending) == SUBMITTED_PER_PROCESS * processes:
                yield _result(*pending.popleft())
        while pending:
            yield _result(*pending.popleft())


def _result(file: Path, future: "Future[bool]") -> plot.Drawing:
    """Wait for a drawing; raise OSError or RuntimeError if it does not come."""
    if not future.result(RESULT_TIMEOUT):
        raise RuntimeError("a panel could not be drawn in a process of the pool")
    drawing: plot.Drawing = pickle.loads(file.read_bytes())
    file.unlink()
    return drawing


class _RecordingContext(SpawnContext):
    """A spawn context that keeps the processes it creates, so that they can be killed."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self.created.append(SpawnProcess(*args, **kwargs))
        return self.created[-1]


@contextmanager
def _pool(processes: int, folder: str) -> Iterator[ProcessPoolExecutor]:
    """Create a pool; at the end, kill its processes and wait until they are gone."""
    context = _RecordingContext()
    pool = ProcessPoolExecutor(processes, context, initializer=_exit_with_parent, initargs=(folder,))
    try:
        yield pool
    finally:
        started = [process for process in context.created if process.pid is not None]
        for process in started:
            process.kill()
        pool.shutdown(cancel_futures=True)
        for process in started:
            process.join()


def _exit_with_parent(folder: str) -> None:
    """End this process of the pool as soon as its parent has ended, which could not remove the temporary files."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _draw_file(file: Path) -> bool:
    """Draw the panel in a file and replace it by its drawing; return whether that succeeded."""
    try:
        file.write_bytes(pickle.dumps(plot.draw(pickle.loads(file.read_bytes()))))
    except Exception:
        # the parent process draws this panel again, and reports the error
        return False
    return True
