"""What actor-learners tell their parent, one pipe each; the parent alone writes it down."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

RECENT_EPISODES = 100  # in a mean score


class EpisodeEnd(NamedTuple):
    """A finished game."""

    worker: int
    score: float  # true, unclipped sum of rewards
    length: int  # steps
    T: int  # global steps when it ended
    updates: int  # global, applied by then
    epsilon: float | None  # exploration at its end; None for a policy method
    completed: bool = True  # False where a cap cut it short


class Interval(NamedTuple):
    """What one worker did since its last Interval; ratios are formed where they are written."""

    worker: int
    steps: int
    updates: int
    skipped: int  # gradients that were not finite, and not applied
    sums: dict[str, float]  # learner's statistics summed over updates, e.g. "loss", "entropy", "grad_norm"
    T: int
    applied: int  # updates, by all workers: those of one that died are among them, though it never told
    seconds: dict[str, float]  # in each phase of the worker's loop; empty where a run is not profiled


class WorkerState(NamedTuple):
    """What a worker needs in order to go on where it stopped."""

    worker: int
    state: dict[str, Any]  # JSON-able: random streams, and how its environments came to where they are
    arrays: dict[str, NDArray[np.generic]]  # the actions taken, the last observation, the carry


class Failure(NamedTuple):
    """What went wrong with a worker: its last words, unless it goes on and says so."""

    worker: int
    reason: str  # one line
    traceback: str
    seeds: tuple[int, ...] = ()  # of its environments, where it could say
    played: int = 0  # steps that it had made with them
    is_final: bool = True  # False where the run goes on, or was ending anyway
    is_replaced: bool = False  # by another process


class Evaluated(NamedTuple):
    """The finished evaluation of one snapshot."""

    T: int
    scores: tuple[float, ...]  # one a game, whole and unclipped
    lengths: tuple[int, ...]  # steps


Event: TypeAlias = EpisodeEnd | Interval | WorkerState | Failure | Evaluated


class WorkerView(NamedTuple):
    """One actor-learner as the live view shows it."""

    worker: int
    steps_per_second: float
    episodes: int
    last_score: float | None
    mean_score: float | None  # of its last 100 games
    epsilon: float | None


class Progress(NamedTuple):
    """The state of a run as the live view shows it, a few times a second."""

    phase: str  # "starting", "training", "evaluating", "saving", "done"
    frames: int
    budget: int  # frames
    seconds: float  # training clock: stands still while evaluating
    frames_per_second: float
    episodes: int
    last_score: float | None
    mean_score: float | None  # of the last 100 games over all workers
    learning_rate: float
    statistics: dict[str, float]  # means of the last interval: "loss", "entropy", "q", "grad_norm" …
    workers: tuple[WorkerView, ...]
    evaluations: tuple[tuple[int, float, float], ...]  # frames, mean, std
    scores: tuple[float, ...] = ()  # mean_score as it was, at equal intervals from this session's start
    skipped: int = 0  # updates whose gradient was not finite
    restarts: int = 0  # workers that failed and were replaced
    trouble: str = ""  # why the run cannot be written at present; empty: it can
    lost: int = 0  # rows that waited for room in vain


ShowProgress: TypeAlias = Callable[[Progress], None]
