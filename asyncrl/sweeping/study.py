"""The parts of a search that do not depend on its progress: its space, its samplers, and its finished trials."""

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from asyncrl.errors import InputError
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import LINKED, STUDY, settings_of
from asyncrl.sweeping.plan import Resolver, combinations

ENVIRONMENTS = ("env",)  # a list of them is no parameter: every trial trains on all


class SearchTrial(NamedTuple):
    """A finished trial."""

    number: int
    value: float
    settings: dict[str, Any]  # the varied settings, without the environment
    is_pruned: bool


def cells_of(declaration: Declaration, settings: Mapping[str, Any], resolver: Resolver) -> list[Cell]:
    """Return the cells of a trial with these settings: one for each environment and seed."""
    return [
        resolver.cell(declaration.base, {**where, **settings}, seed)
        for where in _environments(declaration)
        for seed in declaration.sweep.seeds
        if isinstance(seed, int)
    ]


def first_point(declaration: Declaration) -> dict[str, Any]:
    """Return the first value of each list and the low end of each range: a trial to validate and estimate with."""
    first = next(combinations(declaration)) | {name: interval.low for name, interval in declaration.ranges.items()}
    return {name: value for name, value in first.items() if (name,) != ENVIRONMENTS}


def _environments(declaration: Declaration) -> Iterator[dict[str, Any]]:
    """Yield the environments on which every trial trains; one empty table if ``[vary]`` has none."""
    for row in declaration.choices.get(ENVIRONMENTS, ((None,),)):
        yield {"env": row[0]} if row[0] is not None else {}


def distributions(declaration: Declaration) -> dict[str, BaseDistribution]:
    """Return the parameters of a search; the values of a list are JSON."""
    found: dict[str, BaseDistribution] = {}
    for names, values in declaration.choices.items():
        if names != ENVIRONMENTS:
            found[LINKED.join(names)] = CategoricalDistribution([json.dumps(list(row)) for row in values])
    for name, interval in declaration.ranges.items():
        low, high, log = interval
        found[name] = FloatDistribution(low, high, log=log)
        if interval.is_integer:
            found[name] = IntDistribution(int(low), int(high), log=log)
    return found


def sampler(declaration: Declaration, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial; its draws depend on the sweep's seed, the trial's number and the results."""
    settings = declaration.sweep
    state = np.random.SeedSequence(settings.seed, spawn_key=(number,)).generate_state(1)
    seed = int(state[0])
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings.sampler == "sobol":
            # A function of the sweep's seed and the number of trials; without scrambling it starts in a corner.
            return optuna.samplers.QMCSampler(
                qmc_type="sobol", scramble=True, seed=settings.seed, warn_independent_sampling=False
            )
        if settings.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed)


def trials(root: Path) -> list[SearchTrial]:
    """Return the finished trials of a sweep's study, the best first; raise InputError if there is no study."""
    if not (root / STUDY).exists():
        raise InputError(f"{root} has no study.")
    study = optuna.load_study(study_name=root.name, storage=storage(root))
    found = [
        SearchTrial(trial.number, trial.value, settings_of(trial.params), f"pruned-{trial.number}" in study.user_attrs)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.value is not None
    ]
    return sorted(found, key=lambda trial: (-trial.value, trial.number))


def storage(root: Path) -> str:
    """Return the address of the study's database."""
    # An absolute path: the working directory may change.
    return f"sqlite:///{(root / STUDY).resolve()}"
