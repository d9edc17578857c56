"""The parts of a search that do not depend on its progress: its space, its samplers, and its finished trials."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from asyncrl.errors import InputError
from asyncrl.sweeping import objective, study_file
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import ENVIRONMENTS, Declaration
from asyncrl.sweeping.parameters import LINKED, settings_of
from asyncrl.sweeping.plan import Resolver, combinations

PRUNED = "pruned-"  # with the number of a trial: an attribute of the study


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


def validate(declaration: Declaration, resolver: Resolver) -> list[Cell]:
    """Return the cells of ``first_point``; raise InputError where a value of a list or a range cannot be trained with.

    Each setting is tried alone: with every value of its list, or at both ends of its range.
    """
    first = first_point(declaration)
    points = [first | {name: interval.high} for name, interval in declaration.ranges.items()]
    points += [
        first | dict(zip(names, row, strict=True)) for names, rows in declaration.choices.items() for row in rows
    ]
    for where in _environments(declaration):
        for point in points:
            resolver.cell(declaration.base, {**point, **where}, seed=1)
    found = cells_of(declaration, first, resolver)
    for env in {cell.config.env: None for cell in found}:
        if declaration.sweep.normalisation != "none":
            objective.scale(env, declaration.sweep.normalisation)
    return found


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


def propose(declaration: Declaration, number: int, earlier: Sequence[FrozenTrial]) -> dict[str, Any]:
    """Return the parameters of trial ``number``: a function of the sweep's seed, the number and the earlier trials.

    The proposal is made in memory, so a process that is killed here leaves nothing.
    """
    space = distributions(declaration)
    memory = optuna.create_study(direction="maximize", sampler=sampler(declaration, number))
    if declaration.sweep.sampler == "sobol":
        # This sampler counts its proposals, and does not read values.
        for _ in range(number):
            memory.tell(memory.ask(space), 0.0)
    else:
        memory.add_trials(earlier[:number])
    return dict(memory.ask(space).params)


def add_running(study: optuna.Study, number: int, parameters: Mapping[str, Any], declaration: Declaration) -> None:
    """Store a running trial with these parameters; complete it if it is there without some of them."""
    stored = study.get_trials(deepcopy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.PartialFixedSampler(dict(parameters), optuna.samplers.RandomSampler())
    if number == len(stored):
        study.ask(distributions(declaration))
        return
    trial = optuna.Trial(study, stored[number]._trial_id)
    for name, kind in distributions(declaration).items():
        if isinstance(kind, CategoricalDistribution):
            trial.suggest_categorical(name, kind.choices)
        elif isinstance(kind, FloatDistribution):
            trial.suggest_float(name, kind.low, kind.high, log=kind.log)
        elif isinstance(kind, IntDistribution):
            trial.suggest_int(name, kind.low, kind.high, log=kind.log)


def cells_to_preview(root: Path, declaration: Declaration, resolver: Resolver) -> tuple[list[Cell], list[Cell], int]:
    """Return the cells of the trials that a study has, each once; those of them that are not told; and how many trials.

    Nothing is written.
    """
    stored = study_file.read_or_explain(root)[0] if study_file.exists(root) else []
    found: dict[str, Cell] = {}
    untold: dict[str, Cell] = {}
    for trial in stored:
        # a trial that was killed during its proposal is completed by the next driver
        if trial.params.keys() == distributions(declaration).keys():
            made = {cell.name: cell for cell in cells_of(declaration, settings_of(trial.params), resolver)}
            found |= made
            untold |= made if trial.state is TrialState.RUNNING else {}
    return list(found.values()), list(untold.values()), len(stored)


def trials(root: Path) -> list[SearchTrial]:
    """Return the finished trials of a sweep's study, the best first; raise InputError if it has no study."""
    if not study_file.exists(root):
        raise InputError(f"{root} has no study.")
    stored, attributes = study_file.read_or_explain(root)
    found = [
        SearchTrial(trial.number, trial.value, settings_of(trial.params), f"{PRUNED}{trial.number}" in attributes)
        for trial in stored
        if trial.state is TrialState.COMPLETE and trial.value is not None
    ]
    return sorted(found, key=lambda trial: (-trial.value, trial.number))
