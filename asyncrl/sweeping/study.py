"""The parts of a search that do not depend on its progress: its space, the cells of its trials, and their values."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from asyncrl.errors import InputError
from asyncrl.sweeping import objective, study_file
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import ENVIRONMENTS, Declaration
from asyncrl.sweeping.parameters import INVALID, LINKED, PRUNED, rank, settings_of
from asyncrl.sweeping.plan import Resolver, combinations
from asyncrl.text import error_text, shorten

WITH_CELLS = (TrialState.RUNNING, TrialState.COMPLETE)


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
            cell = resolver.cell(declaration.base, {**point, **where}, seed=1)
            if not cell.config.evaluation.episodes:
                raise InputError("A search compares evaluations, so evaluation.episodes must be 1 or more.")
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


def trial_cells(trial: FrozenTrial, declaration: Declaration, resolver: Resolver) -> list[Cell]:
    """Return the cells of a stored trial; raise InputError if its settings are not those of a cell."""
    if trial.params.keys() != distributions(declaration).keys():
        raise InputError("it was added with other settings than this search varies")
    try:
        settings = settings_of(trial.params)
    # a value of a list that is not JSON
    except (TypeError, ValueError) as error:
        raise InputError(f"it was added with a value that is not of this search: {error_text(error)}") from None
    return cells_of(declaration, settings, resolver)


def cells_to_preview(root: Path, declaration: Declaration, resolver: Resolver) -> tuple[list[Cell], list[Cell], int]:
    """Return the cells of the trials that a study has, each once; those of them that are not told; and how many trials.

    Nothing is written.
    """
    stored, attributes = study_file.read_or_explain(root) if study_file.exists(root) else ([], {})
    found: dict[str, Cell] = {}
    untold: dict[str, Cell] = {}
    started = 0
    for trial in stored:
        is_begun = trial.params.keys() == distributions(declaration).keys()
        # the next driver proposes the parameters of the others
        started += is_begun or trial.state.is_finished()
        if trial.state in WITH_CELLS and f"{INVALID}{trial.number}" not in attributes and is_begun:
            with suppress(InputError):
                made = {cell.name: cell for cell in trial_cells(trial, declaration, resolver)}
                found |= made
                untold |= made if trial.state is TrialState.RUNNING else {}
    return list(found.values()), list(untold.values()), started


def trials(root: Path) -> list[SearchTrial]:
    """Return the finished trials of a sweep's study in the order of ``rank``; raise InputError if it has no study.

    Trials that could not be trained are left out.
    """
    if not study_file.exists(root):
        raise InputError(f"{root} has no study.")
    stored, attributes = study_file.read_or_explain(root)
    found = [
        SearchTrial(trial.number, trial.value, settings_of(trial.params), f"{PRUNED}{trial.number}" in attributes)
        for trial in stored
        if trial.state is TrialState.COMPLETE and trial.value is not None
        if f"{INVALID}{trial.number}" not in attributes
    ]
    return sorted(found, key=lambda trial: rank(trial.number, trial.value, attributes))


def left_out(root: Path) -> list[tuple[int, str]]:
    """Return the numbers of the trials of a study that could not be trained, each with the reason."""
    _, attributes = study_file.read_or_explain(root)
    return [(number, shorten(str(attributes[f"{INVALID}{number}"]), 300)) for number in numbers(attributes, INVALID)]


def numbers(attributes: Iterable[str], prefix: str) -> list[int]:
    """Return the numbers of the trials that have an attribute of the study: ``PRUNED`` or ``INVALID``."""
    ends = [name.removeprefix(prefix) for name in attributes if name.startswith(prefix)]
    return sorted(int(end) for end in ends if re.fullmatch(r"[0-9]{1,9}", end))
