"""Step "bootstrap" of the pipeline: aggregates over games and runs with intervals, as in Agarwal et al. (2021).

*Deep Reinforcement Learning at the Edge of the Statistical Precipice*, NeurIPS 2021, and its library rliable. Scores
are fractions here: 1 is a human's. Runs are resampled within their game (stratified bootstrap); episodes are not, since
episodes of one run are not independent samples of a method.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scores = Mapping[str, Sequence[float]]  # by game, one per run
Samples = Sequence[Array]  # one per game: [R, n] scores of n runs, in R resamples

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 20160619


class Interval(NamedTuple):
    """A statistic with its 95 % bootstrap percentile interval."""

    value: float
    low: float  # NaN if a game has one run: its spread is unknown
    high: float
    runs: int
    games: int


def mean(samples: Samples) -> Array:
    """Return the mean over games of the mean over runs, ``[R]``."""
    return np.asarray(_per_game(samples).mean(axis=0))


def median(samples: Samples) -> Array:
    """Return the median over games of the mean over runs, ``[R]``."""
    return np.asarray(np.median(_per_game(samples), axis=0))


def iqm(samples: Samples) -> Array:
    """Return the mean of the middle half of all runs of all games, ``[R]``; games have equal weight.

    A run at the edge of the middle half counts with the fraction of it that is inside. If 4 divides the number of runs,
    this equals the IQM of rliable, which trims whole runs only (of three runs, none).
    """
    scores = np.concatenate(samples, axis=1)  # [R, runs]
    sizes = [each.shape[1] for each in samples]
    weights = np.repeat([1 / (len(sizes) * n) for n in sizes], sizes)
    order = np.argsort(scores, axis=1)
    ends = np.cumsum(weights[order], axis=1)  # cumulated weight after each run, up to 1
    inside = np.clip(np.minimum(ends, 0.75) - np.maximum(ends - weights[order], 0.25), 0, None)
    return np.asarray((np.take_along_axis(scores, order, axis=1) * inside).sum(axis=1) / 0.5)


def optimality_gap(samples: Samples) -> Array:
    """Return the mean shortfall of scores from 1, scores above 1 counting as 1, ``[R]``; less is better."""
    return np.asarray(1 - mean([np.minimum(scores, 1.0) for scores in samples]))


AGGREGATES: dict[str, Callable[[Samples], Array]] = {
    "IQM": iqm,
    "median": median,
    "mean": mean,
    "optimality gap": optimality_gap,
}


def _per_game(samples: Samples) -> Array:
    return np.stack([scores.mean(axis=1) for scores in samples])  # [games, R]


def aggregate(scores: Scores, statistic: Callable[[Samples], Array], seed: int = SEED) -> Interval:
    """Return a statistic of scores with its interval; raise ValueError if scores are missing."""
    return _with_interval(lambda samples: statistic(samples[0]), [scores], seed)


def probability_of_improvement(x: Scores, y: Scores, seed: int = SEED) -> Interval:
    """Return the probability that a run of x scores higher than one of y on the same game, a tie counting half.

    This is the mean over games of U / (n m) with the Mann–Whitney statistic U. Raise ValueError if the games differ.
    """
    if set(x) != set(y):
        raise ValueError("both need runs of the same games")
    return _with_interval(lambda samples: _win_rate(*samples), [x, {game: y[game] for game in x}], seed)


def _win_rate(x: Samples, y: Samples) -> Array:
    per_game = []
    for ours, theirs in zip(x, y, strict=True):
        pairs = ours[:, :, None] - theirs[:, None, :]  # [R, n, m]
        per_game.append(((pairs > 0) + 0.5 * (pairs == 0)).mean(axis=(1, 2)))
    return np.asarray(np.mean(per_game, axis=0))


def performance_profile(scores: Scores, levels: Iterable[float], seed: int = SEED) -> Array:
    """Return ``[levels, 3]``: the fraction of runs above each score level, games with equal weight; low; high."""

    def above(samples: Samples) -> Array:
        return np.stack([mean([(s > level).astype(float) for s in samples]) for level in levels], axis=1)  # [R, levels]

    levels = list(levels)
    original, resampled = above(_as_samples(scores)), above(_resample(scores, seed))
    return np.stack([original[0], *_percentile_bounds(resampled, [scores])], axis=1)


def mean_curve(runs: Array, seed: int = SEED) -> Array:
    """Return ``[points, 3]``: the mean of runs ``[n, points]`` at each point, low, high; NaN bounds if n is 1."""
    means = _resample_weights(len(runs), seed) @ runs  # [R, points]
    return np.stack([runs.mean(axis=0), *_percentile_bounds(means, [{"": [0.0] * len(runs)}])], axis=1)


@cache
def _resample_weights(n: int, seed: int) -> Array:
    """Return how often each resample contains each of n runs, ``[R, n]``, as a fraction of n."""
    resampled = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    return np.stack([(resampled == i).sum(axis=1) for i in range(n)], axis=1) / n


def mean_of_best(scores: Sequence[float], k: int, seed: int = SEED) -> Interval:
    """Return the mean of the k highest of n runs, as the paper's "best 5 of 50": biased upwards, more so for large n.

    Each resample has n runs, and its own best k are averaged. Raise ValueError if there are fewer than k runs.
    """
    if len(scores) < k:
        raise ValueError(f"{len(scores)} runs have no best {k}")
    return _with_interval(lambda samples: np.sort(samples[0][0], axis=1)[:, -k:].mean(axis=1), [{"": scores}], seed)


def resampled_medians(times: Sequence[float], seed: int = SEED) -> Array:
    """Return the medians of resamples ``[R]`` of times, infinite where a run did not arrive; NaN for a single run."""
    values = np.asarray(times, dtype=float)
    if len(values) < 2:
        return np.full(RESAMPLES, np.nan)
    drawn = values[np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))]
    return np.asarray(np.median(drawn, axis=1))


def bounds(resampled: Array) -> tuple[float, float]:
    """Return the interval of resamples ``[R]`` of which some may be infinite, without those that are NaN."""
    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return np.nan, np.nan
    # of two infinite neighbours, interpolation would be NaN
    low, high = np.percentile(known, [50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE], method="nearest")
    return float(low), float(high)


def best_learning_rates(scores: Mapping[float, Sequence[float]], k: int = 3) -> list[float]:
    """Return the k learning rates with the highest mean scores, best first; all rates if there are fewer than k."""
    return sorted(scores, key=lambda rate: (-float(np.mean(scores[rate])), rate))[:k]


def _with_interval(statistic: Callable[[list[Samples]], Array], groups: Sequence[Scores], seed: int) -> Interval:
    value = statistic([_as_samples(scores) for scores in groups])[0]
    resampled = statistic([_resample(scores, seed + i) for i, scores in enumerate(groups)])
    low, high = _percentile_bounds(resampled, groups)
    runs = sum(len(each) for scores in groups for each in scores.values())
    return Interval(float(value), float(low), float(high), runs, len(groups[0]))


def _as_samples(scores: Scores) -> Samples:
    found = [np.asarray(each, dtype=float)[None] for each in scores.values()]
    if not found or not all(each.size and np.isfinite(each).all() for each in found):
        raise ValueError("every game needs at least one run, and every run a score")
    return found


def _resample(scores: Scores, seed: int) -> Samples:
    """Resample runs within each game, with replacement, ``[R, n]`` per game."""
    rng = np.random.default_rng(seed)
    return [each[0][rng.integers(each.shape[1], size=(RESAMPLES, each.shape[1]))] for each in _as_samples(scores)]


def _percentile_bounds(resampled: Array, groups: Sequence[Scores]) -> tuple[Any, Any]:
    """Return the percentiles of resamples ``[R, …]``; NaN if a game has one run, which has no spread."""
    if any(len(each) < 2 for scores in groups for each in scores.values()):
        missing = np.full(resampled.shape[1:], np.nan)
        return missing, missing
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return low, high
