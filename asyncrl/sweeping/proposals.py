"""The proposals of a search: the sampler of each trial, its parameters, and how they are stored."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import INVALID
from asyncrl.sweeping.study import distributions
from asyncrl.text import escape, shorten


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
        # Trials with other parameters were added by another program.
        memory.add_trials([trial for trial in earlier[:number] if trial.params.keys() == space.keys()])
    return dict(memory.ask(space).params)


def start(study: optuna.Study, number: int, declaration: Declaration) -> FrozenTrial:
    """Store trial ``number`` as running, with the parameters that its sampler proposes; return it.

    A trial that is there without some of its parameters gets them. Values that another program enqueued stay; a trial
    with an enqueued value that is not in the space of the search is stored as failed, with the reason.
    """
    stored = study.get_trials(deepcopy=False)
    before = stored[number] if number < len(stored) else None
    enqueued = before.system_attrs.get("fixed_params", {}) if before else {}
    parameters = propose(declaration, number, stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.PartialFixedSampler(parameters, optuna.samplers.RandomSampler())
    # ``ask`` takes the first trial that waits, which is this one, or makes a new one.
    trial = optuna.Trial(study, before._trial_id) if before and before.state is TrialState.RUNNING else study.ask()
    if reason := _not_in_space(enqueued, distributions(declaration)):
        study.set_user_attr(f"{INVALID}{number}", reason)
        study.tell(number, state=TrialState.FAIL)
        return study.get_trials(deepcopy=False)[number]
    for name, kind in distributions(declaration).items():
        if isinstance(kind, CategoricalDistribution):
            trial.suggest_categorical(name, kind.choices)
        elif isinstance(kind, FloatDistribution):
            trial.suggest_float(name, kind.low, kind.high, log=kind.log)
        elif isinstance(kind, IntDistribution):
            trial.suggest_int(name, kind.low, kind.high, log=kind.log)
    return study.get_trials(deepcopy=False)[number]


def _not_in_space(enqueued: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> str | None:
    """Return why a search cannot take the values that a program enqueued; None if it can."""
    for name, value in enqueued.items():
        if name not in space:
            return f"it was enqueued with {escape(shorten(name, 60))}, which this search does not vary"
        kind = space[name]
        if isinstance(kind, CategoricalDistribution):
            is_known, known = value in kind.choices, f"one of {shorten(' '.join(map(str, kind.choices)), 150)}"
        else:
            assert isinstance(kind, FloatDistribution | IntDistribution)
            is_number = isinstance(value, int if isinstance(kind, IntDistribution) else int | float)
            is_known = is_number and not isinstance(value, bool) and kind.low <= value <= kind.high
            known = f"{'an integer ' * isinstance(kind, IntDistribution)}from {kind.low} to {kind.high}"
        if not is_known:
            return f"it was enqueued with {name} = {escape(shorten(str(value), 60))}, which is not {known}"
    return None
