"""The state of a run as the live view shows it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias


class WorkerView(NamedTuple):
    """One actor-learner as the live view shows it."""

    worker: int
    steps_per_second: float
    episodes: int
    last_score: float | None
    mean_score: float | None  # of its last 100 episodes
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
    mean_score: float | None  # of the last 100 episodes over all workers
    learning_rate: float
    statistics: dict[str, float]  # means of the last interval: "loss", "entropy", "q", "grad_norm" …
    workers: tuple[WorkerView, ...]
    evaluations: tuple[tuple[int, float, float], ...]  # frames, mean, std
    scores: tuple[float, ...] = ()  # mean_score as it was, at equal intervals from this session's start
    pushes: Mapping[str, float] = {}  # of nodes, a second of the last interval, by column of metrics
    skipped: int = 0  # updates whose gradient was not finite
    restarts: int = 0  # workers that failed and were replaced
    store_problem: str = ""  # why the run cannot be written at present; empty: it can
    lost: int = 0  # rows that waited for room in vain


# Called a few times a second; where it returns False, the session ends after the current rollouts, with a checkpoint.
ShowProgress: TypeAlias = Callable[[Progress], object]
