"""Step "search" of a report: reads the study of a search with Optuna, and builds its section.

If a study cannot be read, only its section is left out. Optuna is imported only where a sweep has a study.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd

from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError, needs
from asyncrl.report.columns import Column, build_table, integer, yes_or_no
from asyncrl.report.figure_parts import SearchFigure
from asyncrl.report.sections import Section
from asyncrl.store.sweeps import DECLARATION
from asyncrl.sweeping import declaration, fresh_seeds, study_file
from asyncrl.sweeping.cell import value_text
from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import INVALID, LINKED, PRUNED, STUDY, rank, settings_of
from asyncrl.text import counted, escape, number, shorten

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SHOWN_TRIALS = 10  # in the table; the CSV has all
MAX_PARAMETERS = 12  # that are drawn and in the table
MAX_WORDS = 60  # characters of a name or a value of the study
FEW_TRIALS = 50  # with fewer, the importance of settings is uncertain
OBJECTIVES = {"final": "the last evaluation", "area": "the mean height of the curve of evaluations"}


def build_searches(selection: Selection) -> tuple[list[Section], list[str]]:
    """Return the section of each selected sweep that has a study, and a note on each study that cannot be shown."""
    sections: list[Section] = []
    notes = []
    found = [sweep for sweep in selection.sweep_directories if study_file.exists(sweep)]
    for i, sweep in enumerate(found, 1):
        where = f"The search in {escape(sweep)} is not shown"
        name, title = ("search", "Search") if len(found) == 1 else (f"search-{i}", f"Search: {escape(sweep.name)}")
        try:
            sections.append(_build(sweep, name, title))
        except ModuleNotFoundError as error:
            notes.append(needs(f"{where}: it", error, "sweeps"))
        # The file may come from anywhere, and its damage raises errors of SQLite, SQLAlchemy, Optuna and JSON.
        except Exception as error:
            notes.append(f"{where}: {STUDY} cannot be used: {study_file.reason(error)}.")
    return sections, notes


def _build(sweep: Path, name: str, title: str) -> Section:
    trials, attributes = study_file.read(sweep)
    untrained = {trial.number for trial in trials if f"{INVALID}{trial.number}" in attributes}
    complete = [trial for trial in trials if _is_shown(trial) and trial.number not in untrained]
    if not complete:
        raise InputError("it has no finished trial with a finite value")
    study = _readable(trials, {trial.number for trial in complete})
    labels = list(dict.fromkeys(label for trial in study.trials for label in trial.params))
    complete.sort(key=lambda trial: rank(trial.number, _value(trial), attributes))
    try:
        declared, text = declaration.read(sweep / DECLARATION), ""
        best = [settings_of(trial.params) for trial in complete[:SHOWN_TRIALS]]
        fresh = [(fmean(each), len(each)) if each else None for each in fresh_seeds.means(sweep, declared, best)]
    except Exception as error:
        declared, fresh = None, []
        text = f" Means over fresh seeds are not shown: {study_file.reason(error)}."
    pruned = {trial.number for trial in complete if f"{PRUNED}{trial.number}" in attributes}
    data = _table(complete, pruned, fresh)
    if untrained:
        text += f" {counted(len(untrained), 'trial')} had settings that cannot be trained."
    paragraph = _paragraph(len(complete), len(trials) - len(untrained) - len(complete), declared, len(labels)) + text
    figure = SearchFigure(name, title, data, paragraph, study, labels[:MAX_PARAMETERS])
    shown = data.head(SHOWN_TRIALS)
    settings = [column for column in data if column not in OWN_COLUMNS][:MAX_PARAMETERS]
    columns = [*COLUMNS, *(Column(each, each, value_text, missing="no setting of this trial") for each in settings)]
    if not shown["pruned"].any():
        shown = shown.drop(columns="pruned")
    table = build_table(f"{name}-best", "Best trials", BEST, shown, columns)
    return Section(name, title, table=table, search=figure)


def _is_shown(trial: "FrozenTrial") -> bool:
    return trial.state.name == "COMPLETE" and math.isfinite(_value(trial))


def _value(trial: "FrozenTrial") -> float:
    return math.nan if trial.value is None else trial.value


def _readable(trials: "Sequence[FrozenTrial]", shown: Set[int]) -> "Study":
    """Return a study in memory with the names and values of parameters as people read them.

    A trial whose number is not among those shown is there without both, so that numbers stay the same.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        if trial.number not in shown:
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        named = {_label(name): name for name in trial.params}
        params = {label: trial.params[name] for label, name in named.items()}
        kinds = {label: trial.distributions[name] for label, name in named.items()}
        for label, kind in kinds.items():
            if isinstance(kind, optuna.distributions.CategoricalDistribution):
                kinds[label] = optuna.distributions.CategoricalDistribution([_shown(each) for each in kind.choices])
                params[label] = _shown(params[label])
        study.add_trial(create_trial(params=params, distributions=kinds, value=_value(trial)))
    return study


def _label(name: str) -> str:
    return escape(shorten(", ".join(name.split(LINKED)), MAX_WORDS))


def _shown(choice: Any) -> Any:
    """Return the value of a list: a number as it is, which has a numeric axis, and anything else as text."""
    values = json.loads(choice) if isinstance(choice, str) else [choice]
    if len(values) == 1 and _is_number(values[0]):
        return values[0]
    return _Choice(escape(shorten(", ".join(map(_text, values)), MAX_WORDS)))


class _Choice(str):
    """A text that is its own ``repr``, which is what Optuna plots."""

    __repr__ = str.__str__


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | list | dict) else value_text(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


OWN_COLUMNS = ("trial", "value", "pruned", "fresh_mean", "fresh_seeds")
COLUMNS = (
    Column("trial", "trial", integer),
    Column("value", "value", number),
    Column("fresh_mean", "mean over fresh seeds", number, missing="these settings were not trained on fresh seeds"),
    Column("fresh_seeds", "fresh seeds", integer, missing="these settings were not trained on fresh seeds"),
    Column("pruned", "stopped early", yes_or_no),
)
BEST = (
    f"The {SHOWN_TRIALS} trials with the highest values; those whose runs have all failed come last. The best of many "
    "trials owes its value partly to luck. The mean over fresh seeds, which the search did not use, is the fair one; "
    "asyncrl sweep --confirm trains them."
)


def _table(
    trials: "Sequence[FrozenTrial]", pruned: Set[int], fresh: Sequence[tuple[float, int] | None]
) -> pd.DataFrame:
    """Return one row per finished trial, in their order."""
    rows = []
    for trial, means in zip_longest(trials, fresh):
        own = (trial.number, _value(trial), trial.number in pruned, *(means or (math.nan, math.nan)))
        named = dict(zip(OWN_COLUMNS, own, strict=True))
        rows.append(named | dict(_cells(settings_of(trial.params))) | named)
    return pd.DataFrame(rows)


def _cells(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        yield _label(name), value if _is_number(value) else escape(shorten(_text(value), MAX_WORDS))


def _paragraph(shown: int, others: int, declared: Declaration | None, parameters: int) -> str:
    value = OBJECTIVES[declared.sweep.objective] if declared else "the objective"
    verb = "is" if others == 1 else "are"
    left_out = f" {counted(others, 'trial')} without a finite value {verb} left out." if others else ""
    few = f" With fewer than {FEW_TRIALS} trials it may be chance." if shown < FEW_TRIALS else ""
    drawn = f" Drawn are the first {MAX_PARAMETERS} of {parameters} settings." if parameters > MAX_PARAMETERS else ""
    return (
        f"{counted(shown, 'trial')} of the search, plotted by Optuna.{left_out} The value of a trial is the mean over "
        f"its runs of {value}. The importance of a setting (PED-ANOVA) compares the best tenth of the trials with all: "
        f"it is high if the best trials have similar values of the setting.{few} The history shows values in the order "
        "of the trials, and the best so far. In parallel coordinates, each line is a trial. A slice shows values "
        "against one setting; later trials are darker. A sampler proposes settings near the best ones, so a slice has "
        f"few points in the other regions.{drawn}"
    )
