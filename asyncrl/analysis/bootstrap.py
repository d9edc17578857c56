"""Aggregates over games and runs with bootstrap intervals, as Agarwal et al. (2021) define them.

*Deep Reinforcement Learning at the Edge of the Statistical Precipice*, NeurIPS 2021, and its library rliable. Scores
are fractions here: 1 is a human's. A run is the unit that is drawn again, within its game (stratified); episodes of one
run are no independent samples of a method.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scores = Mapping[str, Sequence[float]]  # by game, one a run
Samples = Sequence[Array]  # one a game: [R, n] scores of n runs, in R draws

DRAWS = 2000
LEVEL = 0.95
SEED = 20160619


class Interval(NamedTuple):
    """A statistic with the interval that the middle 95 % of its bootstrap draws lie in."""

    value: float
    low: float  # NaN where a game has one run: nothing can be said of its spread
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
    """Return the mean of the middle half of all runs of all games, ``[R]``; games weigh alike whatever their runs.

    A run at the edge of the middle half counts with the part of it that is inside: where 4 divides the number of runs
    this is rliable's, which elsewhere cuts off whole runs only, and of three runs none.
    """
    scores = np.concatenate(samples, axis=1)  # [R, runs]
    sizes = [each.shape[1] for each in samples]
    weights = np.repeat([1 / (len(sizes) * n) for n in sizes], sizes)
    order = np.argsort(scores, axis=1)
    ends = np.cumsum(weights[order], axis=1)  # of the stretch of [0, 1] that each run takes
    inside = np.clip(np.minimum(ends, 0.75) - np.maximum(ends - weights[order], 0.25), 0, None)
    return np.asarray((np.take_along_axis(scores, order, axis=1) * inside).sum(axis=1) / 0.5)


def optimality_gap(samples: Samples) -> Array:
    """Return by how much scores fall short of 1 on average, those above counting as 1, ``[R]``; less is better."""
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
    """Return a statistic of scores with its interval; missing scores raise ValueError."""
    return _interval(lambda samples: statistic(samples[0]), [scores], seed)


def improvement(x: Scores, y: Scores, seed: int = SEED) -> Interval:
    """Return the probability that a run of x scores higher than one of y on the same game, a tie counting half.

    The mean over games of U / (n m), U being Mann and Whitney's; raise ValueError unless both have the same games.
    """
    if set(x) != set(y):
        raise ValueError("both need runs of the same games")
    return _interval(lambda samples: _improvement(*samples), [x, {game: y[game] for game in x}], seed)


def _improvement(x: Samples, y: Samples) -> Array:
    per_game = []
    for ours, theirs in zip(x, y, strict=True):
        pairs = ours[:, :, None] - theirs[:, None, :]  # [R, n, m]
        per_game.append(((pairs > 0) + 0.5 * (pairs == 0)).mean(axis=(1, 2)))
    return np.asarray(np.mean(per_game, axis=0))


def profile(scores: Scores, levels: Iterable[float], seed: int = SEED) -> Array:
    """Return ``[levels, 3]``: the fraction of runs that score above each level, games counting alike; low and high."""

    def above(samples: Samples) -> Array:
        return np.stack([mean([(s > level).astype(float) for s in samples]) for level in levels], axis=1)  # [R, levels]

    levels = list(levels)
    original, drawn = above(_once(scores)), above(_draw(scores, seed))
    return np.stack([original[0], *_bounds(drawn, [scores])], axis=1)


def curve(runs: Array, seed: int = SEED) -> Array:
    """Return ``[points, 3]``: the mean of n runs ``[n, points]`` at each point, low and high; NaN bounds if n is 1."""
    means = _weights(len(runs), seed) @ runs  # [R, points]
    return np.stack([runs.mean(axis=0), *_bounds(means, [{"": [0.0] * len(runs)}])], axis=1)


@cache
def _weights(n: int, seed: int) -> Array:
    """Return how often each of n runs is drawn, ``[R, n]``, as a share of n."""
    drawn = np.random.default_rng(seed).integers(n, size=(DRAWS, n))
    return np.stack([(drawn == i).sum(axis=1) for i in range(n)], axis=1) / n


def best(scores: Sequence[float], k: int, seed: int = SEED) -> Interval:
    """Return the mean of the k highest of n runs, as the paper's "best 5 of 50": biased upwards, more so for large n.

    Draws are of all n runs, the best k being chosen anew in each; fewer than k runs raise ValueError.
    """
    if len(scores) < k:
        raise ValueError(f"{len(scores)} runs have no best {k}")
    return _interval(lambda samples: np.sort(samples[0][0], axis=1)[:, -k:].mean(axis=1), [{"": scores}], seed)


def best_rates(scores: Mapping[float, Sequence[float]], k: int = 3) -> list[float]:
    """Return the k learning rates whose runs score highest on average, the best first; fewer where there are fewer."""
    return sorted(scores, key=lambda rate: (-float(np.mean(scores[rate])), rate))[:k]


def _interval(statistic: Callable[[list[Samples]], Array], groups: Sequence[Scores], seed: int) -> Interval:
    value = statistic([_once(scores) for scores in groups])[0]
    drawn = statistic([_draw(scores, seed + i) for i, scores in enumerate(groups)])
    low, high = _bounds(drawn, groups)
    runs = sum(len(each) for scores in groups for each in scores.values())
    return Interval(float(value), float(low), float(high), runs, len(groups[0]))


def _once(scores: Scores) -> Samples:
    found = [np.asarray(each, dtype=float)[None] for each in scores.values()]
    if not found or not all(each.size and np.isfinite(each).all() for each in found):
        raise ValueError("every game needs at least one run, and every run a score")
    return found


def _draw(scores: Scores, seed: int) -> Samples:
    """Draw runs again within each game, with replacement, ``[R, n]`` a game."""
    rng = np.random.default_rng(seed)
    return [each[0][rng.integers(each.shape[1], size=(DRAWS, each.shape[1]))] for each in _once(scores)]


def _bounds(drawn: Array, groups: Sequence[Scores]) -> tuple[Any, Any]:
    """Return the percentiles of draws ``[R, …]``; NaN where a game has one run only, as if that were certain."""
    if any(len(each) < 2 for scores in groups for each in scores.values()):
        nothing = np.full(drawn.shape[1:], np.nan)
        return nothing, nothing
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    return low, high
