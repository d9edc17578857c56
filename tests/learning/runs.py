"""Runs as a user would make them, for the learning suite: two real processes, and what an evaluation then says."""

from pathlib import Path
from typing import Any

from asyncrl import experiment
from asyncrl.config import merge
from asyncrl.store.rows import read_rows

THREADS = 2
ONCE = 10**12  # frames: longer than any run here


def evaluated_means(results: Path, **settings: Any) -> list[float]:
    """Train with two processes and return the mean score of each evaluation, the one after the last update last."""
    quiet = {"threads": THREADS, "evaluation": {"every": ONCE}, "checkpoints": {"every": ONCE}}
    run = experiment.train(experiment.resolve(merge(quiet, settings)), results)
    return [row["mean"] for row in read_rows(run, "evaluations")]


def final_mean(results: Path, **settings: Any) -> float:
    """Train with two processes and return the mean score of the evaluation after the last update."""
    return evaluated_means(results, **settings)[-1]
