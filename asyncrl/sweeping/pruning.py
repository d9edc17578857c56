"""The median pruner of a search: which trial stops early."""

import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from asyncrl.config import RunConfig
from asyncrl.sweeping import objective
from asyncrl.sweeping.declaration import Normalisation
from asyncrl.sweeping.objective import Curve

WARM_UP = 1 / 3  # of the evaluations of a run, before the pruner may stop it
FEWEST_TRIALS = 4  # with which the pruner compares


def is_below_median(
    configs: Sequence[RunConfig], curves: Sequence[Curve], others: Iterable[Sequence[Curve]], kind: Normalisation
) -> bool:
    """Return whether the mean score of a trial's runs is below the median of other trials at the same evaluation.

    Only runs that have made a third of their evaluations are compared, each with the same run of the others.

    Args:
        configs: the settings of the runs.
        curves: their evaluations.
        others: those of the runs of each other trial; a trial that lacks one to compare with is left out.
        kind: of normalisation.
    """
    config = configs[0]
    due = max(1, config.frames // (config.evaluation.every or config.frames // 10))
    compared = [i for i, curve in enumerate(curves) if len(curve) > WARM_UP * due]
    if not compared:
        return False
    done = min(len(curves[i]) for i in compared)

    def mean(trial: Sequence[Curve]) -> float:
        return statistics.fmean(objective.normalised(trial[i][done - 1][1], configs[i], kind) for i in compared)

    alike = (other for other in others if len(other) == len(curves))
    means = [mean(other) for other in alike if min(len(other[i]) for i in compared) >= done]
    return len(means) >= FEWEST_TRIALS and mean(curves) < float(np.median(means))
