"""A run on disk, as Python programs use it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.errors import requires_extra
from asyncrl.store import runs as stored
from asyncrl.store.document import RunDocument
from asyncrl.store.settings import config_of
from asyncrl.terminal import live
from asyncrl.terminal.console import console
from asyncrl.training.progress import Progress, ShowProgress

if TYPE_CHECKING:
    import pandas as pd

    from asyncrl.policy import Policy

Place: TypeAlias = "str | Path"
Callback: TypeAlias = Callable[[Progress], object]


class Run:
    """A run on disk.

    Attributes:
        path: its directory.
    """

    def __init__(self, path: Place) -> None:
        """Take the directory of a run; raise InputError if it is none, or damaged."""
        self.path = Path(path)
        stored.open_document(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def _document(self) -> RunDocument:
        return RunDocument.model_validate(stored.current_document(self.path))

    @property
    def id(self) -> str:
        """Return its name, that of its directory."""
        return self.path.name

    @property
    def config(self) -> RunConfig:
        """Return all its settings."""
        return config_of(self.path)

    @property
    def status(self) -> str:
        """Return ``running``, ``finished``, ``interrupted``, ``failed`` or ``crashed``."""
        return str(self._document.status)

    @property
    def frames(self) -> int:
        """Return how many frames it has made, at its last checkpoint or its end."""
        return self._document.frames

    @property
    def evaluations(self) -> "pd.DataFrame":
        """Return a table with a row for each evaluation; its columns are frames, mean, std and more."""
        return self._table("evaluations")

    @property
    def episodes(self) -> "pd.DataFrame":
        """Return a table with a row for each training episode; its columns are frames, score, length and more."""
        return self._table("episodes")

    @property
    def metrics(self) -> "pd.DataFrame":
        """Return a table with the rows of metrics; its columns are frames, frames_per_second, loss and more."""
        return self._table("metrics")

    def _table(self, name: str) -> "pd.DataFrame":
        with requires_extra("analysis"):
            from asyncrl.analysis.load import load as load_tables
            from asyncrl.analysis.selection import Selection
        tables = load_tables(Selection(self.path.parent, (str(self.path),)), (name,))
        return getattr(tables, name)

    def load(self, checkpoint: str = "best") -> "Policy":
        """Return the policy of a checkpoint: ``best``, ``last`` or a step."""
        from asyncrl.policy import Policy

        return Policy(self.path, checkpoint)

    def evaluate(self, checkpoint: str = "last", episodes: int = 30, seed: int = 1) -> dict[str, Any]:
        """Play whole episodes with a checkpoint, add the scores to the run, and return them: mean, std and more."""
        from asyncrl import experiment

        return experiment.evaluate(self.path, checkpoint, episodes, seed)

    def record(self, file: Place, checkpoint: str = "last", episodes: int = 1) -> list[float]:
        """Write a video, ``.mp4`` or ``.gif``, and return the scores of its episodes."""
        from asyncrl import video

        return video.record(self.path, checkpoint, Path(file), episodes, None)

    def resume(
        self,
        frames: int | str | None = None,
        callback: Callback | None = None,
        progress: bool = True,
        trackers: Sequence[str] | None = None,
    ) -> "Run":
        """Continue from the last checkpoint, and return this run.

        Args:
            frames: a new budget, such as ``"20M"``; None: as it was.
            callback: see ``train``.
            progress: see ``train``.
            trackers: names of those that get the metrics from now on; None: as they were.

        Raises:
            InputError: nothing is left to do, or another process trains it.
            RunFailed, Stopped: see ``train``.
        """
        from asyncrl import experiment

        config = self.config
        if frames is not None:
            config = configuration.build(config.model_dump() | {"frames": frames})
        budget = None if frames is None else config.frames
        with progress_view(config, callback, progress) as show:
            experiment.resume(self.path, budget, show, is_main_thread(), trackers)
        return self


@contextmanager
def progress_view(config: RunConfig, callback: Callback | None, progress: bool) -> Iterator[ShowProgress]:
    """Yield what shows the progress and asks the callback."""
    if not progress:
        yield callback or (lambda state: None)
        return
    with live.live_view(config, console()) as show:

        def show_and_ask(state: Progress) -> object:
            show(state)
            return callback(state) if callback else None

        yield show_and_ask


def is_main_thread() -> bool:
    """Return whether a run may handle signals."""
    # Python lets only the main thread handle signals.
    return threading.current_thread() is threading.main_thread()


def find(run: Place = "last", results: Place = "results") -> Run:
    """Return a run by its id, the beginning of one, a directory, ``SWEEP/CELL``, or ``last``."""
    return Run(stored.find(Path(results), str(run)))
