"""Runs as a user would make them, for the learning suite: two real processes, and what evaluations then say."""

import os
import signal
from math import inf
from pathlib import Path
from typing import Any

from asyncrl import experiment
from asyncrl.config import merge
from asyncrl.errors import Stopped
from asyncrl.store.rows import read_rows
from asyncrl.training import job_builder
from asyncrl.training.progress import Progress

THREADS = 2
ONCE = 10**12  # frames: longer than any run here


def evaluated_means(results: Path, enough: float = inf, **settings: Any) -> list[float]:
    """Train with two processes, to the end or until a score is reached; return the mean score of each evaluation."""
    asked = False

    def show(progress: Progress) -> None:
        nonlocal asked
        reached = any(mean >= enough for _, mean, _ in progress.evaluations)
        if progress.phase == "training" and reached and not asked:
            asked = True
            os.kill(os.getpid(), signal.SIGTERM)

    quiet = {"threads": THREADS, "evaluation": {"every": ONCE}, "checkpoints": {"every": ONCE}}
    try:
        config, spec = job_builder.resolve(merge(quiet, settings))
        run = experiment.train(config, results, show=show, spec=spec)
    except Stopped as stopped:
        run = stopped.run
    return [row["mean"] for row in read_rows(run, "evaluations")]


def final_mean(results: Path, **settings: Any) -> float:
    """Train with two processes and return the mean score of the evaluation after the last update."""
    return evaluated_means(results, **settings)[-1]
