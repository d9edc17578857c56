"""Directories of trainings: the training games of any library, and the checkpoints of those that are not asyncrl's.

Each has ``episodes.jsonl`` with the columns of a run of asyncrl, so that all are read in the same way.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asyncrl.envs.base import Episode
from asyncrl.store import atomic, rows

Array = NDArray[np.float64]

EPISODES = "episodes"
CHECKPOINT = "checkpoint-"  # before the steps, in the name of a directory
GAMES = 100  # of which a mean score is


def read_games(folder: Path) -> tuple[Array, Array]:
    """Return the frames at which training games ended, ascending, and their scores: ``[n]`` each.

    Raises:
        InputError: the file cannot be read.
    """
    found = [(row["frames"], row["score"]) for row in rows.valid_rows(folder, EPISODES).rows]
    # processes that write to one file are not always in order
    table = np.array(sorted(found, key=lambda row: row[0]), dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def mean_scores(scores: Array) -> Array:
    """Return ``[n − 99]``: the mean score of the last 100 games, from the hundredth on."""
    if len(scores) < GAMES:
        return np.zeros(0)
    return np.lib.stride_tricks.sliding_window_view(scores, GAMES).mean(axis=1)


def frames_to(score: float, frames: Array, scores: Array) -> float:
    """Return the frames at which the mean score of the last 100 games first reached a score; infinite if it did not."""
    reached = np.flatnonzero(mean_scores(scores) >= score)
    return float(frames[GAMES - 1 + reached[0]]) if len(reached) else np.inf


def last_checkpoint(folder: Path) -> tuple[int, Path | None]:
    """Return the steps of the newest checkpoint and its directory; 0 and None where there is none."""
    names = ((path.name.removeprefix(CHECKPOINT), path) for path in folder.glob(f"{CHECKPOINT}*"))
    return max(((int(steps), path) for steps, path in names if steps.isdecimal()), default=(0, None))


class Recording:
    """Records the games of a training, and saves it: ``stepping.Observer``.

    A killed training goes on from its last checkpoint: the games that ended later are removed, and those that had not
    ended are lost.
    """

    def __init__(
        self, folder: Path, seed: int, frames_per_step: int, every: int, is_done: Callable[[int], bool]
    ) -> None:
        """Remove what a killed process has left.

        Args:
            folder: the directory, whose lock this process holds.
            seed: of the training.
            frames_per_step: of its environments.
            every: frames between two checkpoints.
            is_done: takes the frames so far; asked after each checkpoint whether the training has ended.
        """
        self.seed = seed
        self.steps, self.checkpoint = last_checkpoint(folder)
        self._folder, self._frames_per_step, self._is_done = folder, frames_per_step, is_done
        self._every = max(1, every // frames_per_step)  # steps
        self._due = self._next_due(self.steps)
        atomic.delete_hidden(folder)
        rows.cut(folder, EPISODES, self.steps)
        self._writer = rows.Writer(folder)

    def observe(self, worker: int, steps: int, episodes: Sequence[Episode], save: Callable[[Path], object]) -> bool:
        """Write rows of the episodes; worker 0 saves where that is due. See ``stepping.Observer``."""
        if episodes:
            self._writer.append(EPISODES, *(self._row(worker, steps, episode) for episode in episodes))
        if worker != 0 or steps < self._due:
            return True
        self._save(steps, save)
        self._due = self._next_due(steps)
        return not self._is_done(steps * self._frames_per_step)

    def _next_due(self, steps: int) -> int:
        return (steps // self._every + 1) * self._every

    def _row(self, worker: int, steps: int, episode: Episode) -> dict[str, object]:
        place = {"frames": steps * self._frames_per_step, "steps": steps, "worker": worker}
        return place | {"score": episode.score, "length": episode.length, "completed": episode.completed}

    def _save(self, steps: int, save: Callable[[Path], object]) -> None:
        """Write a checkpoint, which gets its name when it is whole and on disk; then delete the earlier ones."""
        earlier = list(self._folder.glob(f"{CHECKPOINT}*"))
        hidden = atomic.hidden_name(self._folder)
        hidden.mkdir()
        save(hidden)
        for file in hidden.iterdir():
            with file.open("rb") as saved:
                os.fsync(saved.fileno())
        atomic.sync_directory(hidden)
        hidden.rename(self._folder / f"{CHECKPOINT}{steps}")
        atomic.sync_directory(self._folder)
        for path in earlier:
            atomic.delete(path)
