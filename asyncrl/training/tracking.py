"""Trackers: what rows of metrics and evaluations say, under the tags of Stable-Baselines3, for other programs.

The parent process calls them where it writes rows. One that raises is left out, and the training continues.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from asyncrl import floats, own_parts
from asyncrl.config import TENSORBOARD, RunConfig, flatten
from asyncrl.envs.contract import user_code
from asyncrl.errors import InputError, needs
from asyncrl.events import RECENT_EPISODES
from asyncrl.store.columns import is_number
from asyncrl.store.retrying_writer import RetryingWriter

COUNTERS, SIZES = ("frames", "steps"), ("lag_", "pushes_", "staleness_")  # columns of metrics without a tag
# other columns of metrics are train/COLUMN
TAGS = {"frames_per_second": "time/fps", "seconds": "time/time_elapsed", "updates": "train/n_updates"}
# columns of episodes, whose means over the last 100 are logged
OF_EPISODES = {"rollout/ep_rew_mean": "score", "rollout/ep_len_mean": "length", "rollout/exploration_rate": "epsilon"}


class Tracker(Protocol):
    """Takes the numbers of one run.

    ``factory(run, settings, frames)`` makes it at the start of each session, from the directory of the run, its
    settings by dotted name, and the frames so far.
    """

    def log(self, values: dict[str, float], step: int) -> None:
        """Take numbers by tag at so many frames."""
        ...

    def close(self) -> None:
        """Finish; called at the end of each session of a run."""
        ...


class TensorBoard:
    """Writes event files of TensorBoard into the directory of a run."""

    def __init__(self, run: Path, settings: Mapping[str, Any], frames: int) -> None:
        """Continue a run at so many frames: what is logged after them is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run), purge_step=frames or None, flush_secs=10)

    def log(self, values: dict[str, float], step: int) -> None:
        """See Tracker."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """See Tracker."""
        self._writer.close()


def check(config: RunConfig) -> None:
    """Raise InputError where a tracker of the settings cannot be found."""
    for name in config.trackers:
        _factory(name)


def _factory(name: str) -> Callable[..., Tracker]:
    if name != TENSORBOARD:
        return own_parts.load(name)
    if find_spec("tensorboard") is None:
        raise InputError(needs("A tracker", "tensorboard", "tensorboard"))
    return TensorBoard


class TrackedWriter(RetryingWriter):
    """A writer of a run that also passes the numbers of its rows to the trackers that run.json names."""

    def begin(self, **document: object) -> None:
        """Write run.json as a RetryingWriter does, and make the trackers."""
        super().begin(**document)
        config: Any = document["config"]
        self._trackers: dict[str, Tracker] = {}
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=RECENT_EPISODES)  # rows of episodes
        arguments = self.run, flatten(config), int(cast(int, document.get("frames", 0)))
        for name in config["trackers"]:
            with self._left_out_if_it_raises(name, "be made"):
                self._trackers[name] = _factory(name)(*arguments)

    def append(self, name: str, *rows: Mapping[str, Any]) -> None:
        """Write rows as a RetryingWriter does, and pass on their numbers."""
        super().append(name, *rows)
        if name == "episodes":
            self._recent.extend(rows)
        for row in rows if name in ("metrics", "evaluations") else ():
            found = self._of_training(row) if name == "metrics" else _of_evaluation(row)
            numbers = {tag: float(value) for tag, value in found.items() if is_number(value)}
            for each, tracker in list(self._trackers.items()):
                with self._left_out_if_it_raises(each, "log"):
                    tracker.log(dict(numbers), row["frames"])

    def _of_training(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a row of metrics by tag, and means over the last 100 episodes."""
        found = {tag: value for column, value in row.items() if (tag := _tag(column))}
        for tag, column in OF_EPISODES.items():
            values = [episode[column] for episode in self._recent if episode[column] is not None]
            found |= {tag: floats.mean(values)} if values else {}
        return found

    def close(self) -> None:
        """Close the files and the trackers."""
        super().close()
        for name, tracker in list(self._trackers.items()):
            with self._left_out_if_it_raises(name, "close"):
                tracker.close()

    @contextmanager
    def _left_out_if_it_raises(self, name: str, what: str) -> Iterator[None]:
        try:
            with user_code(f"The tracker {name} cannot {what}"):
                yield
        except InputError as error:
            self._trackers.pop(name, None)
            warnings.warn(f"{str(error).rstrip('.')}. It is left out, and the training continues.", stacklevel=2)


def _tag(column: str) -> str | None:
    """Return the tag of a column of metrics; None for counters of the axis, and counts of policy lags."""
    if column in COUNTERS or column.startswith(SIZES):
        return None
    return TAGS.get(column, f"time/{column}" if column.endswith("_us") else f"train/{column}")


def _of_evaluation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"eval/mean_reward": row["mean"], "eval/mean_ep_length": floats.mean(row["lengths"])}
