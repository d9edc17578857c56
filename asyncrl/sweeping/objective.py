"""The value that a search maximises: a statistic of the evaluations of a trial's runs, averaged over all of them."""

import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from asyncrl.analysis import reference_data
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from asyncrl.store import rows
from asyncrl.sweeping.declaration import Normalisation, Objective, SweepSettings

PUBLISHED = "A3C FF"  # the published agent whose score is 1 with normalisation "reference"

Curve = list[tuple[int, float]]  # frames and mean score of each evaluation


def curve(run: Path) -> Curve:
    """Return the evaluations during training of a run, those with a finite score; none where they cannot be read."""
    try:
        stored = rows.read_rows(run, "evaluations")
    except InputError:
        return []
    found = [
        (int(row["frames"]), float(row["mean"]))
        for row in stored
        if row.get("kind") == "training"
        and isinstance(row.get("mean"), int | float)
        and isinstance(row.get("frames"), int)
        and math.isfinite(row["mean"])
    ]
    return sorted(dict(found).items())


def value(points: Curve, objective: Objective, budget: int, worst: float) -> float:
    """Return the objective of one run.

    Args:
        points: its evaluations.
        objective: ``final``: the score of the evaluation at the end; ``area``: the mean height of the curve.
        budget: frames.
        worst: the score that a run has where it was not evaluated because it failed.
    """
    if objective == "final":
        return points[-1][1] if points and points[-1][0] >= budget else worst
    whole = points if points and points[-1][0] >= budget else [*points, (budget, worst)]
    first = whole[0]
    frames = np.array([0, *(frames for frames, _ in whole)], dtype=float)
    scores = np.array([first[1], *(score for _, score in whole)])
    return float(np.trapezoid(scores, frames) / frames[-1])


def normalised(score: float, config: RunConfig, kind: Normalisation) -> float:
    """Return a score as a fraction of a human's, or of a published agent's: A3C, on MinAtar DQN. 0 is random play."""
    if kind == "none":
        return score
    low, high = scale(config.env, kind)
    return (score - low) / (high - low)


def scale(env: str, kind: Normalisation) -> tuple[float, float]:
    """Return the scores that normalisation maps to 0 and 1; raise InputError where there are none for a game."""
    references = reference_data.references()
    row = references[references["game"] == reference_data.game(env)]
    if row.empty:
        raise InputError(f"There is no published score for {env}, so normalisation must be 'none'.")
    low, high, published = (float(row[name].iloc[0]) for name in ("random", "human", "published"))
    if kind == "reference" and not math.isnan(published):
        high = published
    elif kind == "reference":
        # a game of MinAtar whose version was not published has no human's score either
        if math.isnan(high):
            raise InputError(f"There is no published score for {env}, so normalisation must be 'none'.")
        scores = reference_data.scores()
        found = scores[(scores["game"] == row["game"].iloc[0]) & scores["method"].str.contains("A3C")]
        if found.empty:
            raise InputError(f"There is no published A3C score for {env}, so normalisation must be 'none' or 'human'.")
        high = float(found["score"].iloc[0])
    elif math.isnan(high):
        other = "'none'" if math.isnan(published) else "'none' or 'reference'"
        raise InputError(f"There is no human's score for {env}, so normalisation must be {other}.")
    return low, high


def worst_scores(runs: Iterable[tuple[Curve, RunConfig]]) -> dict[str, float]:
    """Return the lowest score of any evaluation of some runs, by environment; those without a score are not there."""
    found: dict[str, float] = {}
    for points, config in runs:
        for _, score in points:
            found[config.env] = min(score, found.get(config.env, score))
    return found


def means_of_seeds(
    runs: Iterable[tuple[Curve, RunConfig]], sweep: SweepSettings, worst: Mapping[str, float]
) -> list[float]:
    """Return the objective of equal settings for each seed: its mean over the runs of that seed, one on each game.

    Nothing is returned where no run has a score on one of the games: a run that failed has no value yet.

    Args:
        runs: their evaluations and settings.
        sweep: of the search.
        worst: ``worst_scores``.
    """
    by_seed: dict[int, list[float]] = {}
    for points, config in runs:
        if config.env not in worst:
            return []
        score = value(points, sweep.objective, config.frames, worst[config.env])
        by_seed.setdefault(config.seed, []).append(normalised(score, config, sweep.normalisation))
    return [statistics.fmean(each) for each in by_seed.values()]


def worst_values(configs: Iterable[RunConfig], sweep: SweepSettings, worst: Mapping[str, float]) -> list[float]:
    """Return the values that ``means_of_seeds`` has for runs that made no frame, nothing where a score is missing."""
    configs = list(configs)
    if any(config.env not in worst for config in configs):
        return []
    return [normalised(worst[config.env], config, sweep.normalisation) for config in configs]
