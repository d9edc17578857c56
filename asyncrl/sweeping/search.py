"""A search of settings with Optuna: asks for trials, gets their cells trained, and tells their values.

One driver owns the study. A trial that a killed driver left is matched with its runs by the settings that the study
stores, and trained to its end before a new one is asked for.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from asyncrl.sweeping import cells, objective, study
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import settings_of
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.source import cores_of

WARM_UP = 1 / 3  # of the evaluations of a run, before the median pruner may stop it


class Search:
    """The source of a driver's cells for ``kind = "optuna"``."""

    def __init__(self, root: Path, declaration: Declaration, resolver: Resolver) -> None:
        """Open the study, or create it.

        Args:
            root: the directory of the sweep.
            declaration: what its file says.
            resolver: makes cells.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._root, self._declaration, self._resolver = root, declaration, resolver
        self._settings = declaration.sweep
        self._distributions = study.distributions(declaration)
        self._study = optuna.create_study(
            storage=study.storage(root),
            study_name=root.name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        self._study.set_user_attr("optuna", optuna.__version__)
        self._trials: dict[int, list[Cell]] = {}  # running trials, and their cells
        self._ended: dict[int, set[str]] = {}  # the names of their cells that have ended
        self._pruned: set[int] = set()  # numbers of trials that stop early
        self._pending: deque[tuple[int, Cell]] = deque()
        self._number_of: dict[str, int] = {}
        example = self._cells_of(study.first_point(declaration))
        self._cells_per_trial, self._cores = len(example), min(map(cores_of, example))
        self._frames_per_trial = sum(cell.config.frames for cell in example)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._begin(trial.number, settings_of(trial.params))

    @property
    def total(self) -> int:
        """Return the number of cells of all trials."""
        return self._cells_per_trial * (self._settings.n or 0)

    @property
    def finished(self) -> int:
        """Return the number of cells whose trials were told before this call, or that are finished already."""
        told = len(self._study.get_trials(deepcopy=False)) - len(self._trials)
        return told * self._cells_per_trial + sum(map(len, self._ended.values()))

    @property
    def frames_left(self) -> int:
        """Return the frames of cells that are not begun, of this trial and of those to come."""
        asked = len(self._study.get_trials(deepcopy=False))
        to_come = max(0, (self._settings.n or 0) - asked) * self._frames_per_trial
        return to_come + sum(cell.config.frames for _, cell in self._pending)

    @property
    def next_cores(self) -> int | None:
        """Return how many cores the next cell keeps busy; None if all trials were asked for."""
        if self._pending:
            return cores_of(self._pending[0][1])
        asked = len(self._study.get_trials(deepcopy=False))
        return self._cores if asked < (self._settings.n or 0) else None

    def next(self) -> Cell:
        """Return a cell of a begun trial, or ask for a new one."""
        if not self._pending:
            self._ask()
        number, cell = self._pending.popleft()
        self._number_of[cell.name] = number
        return cell

    def record(self, cell: Cell, is_finished: bool) -> None:
        """Tell a trial's value once all of its cells have ended."""
        number = self._number_of[cell.name]
        self._ended[number].add(cell.name)
        self._tell_if_complete(number)

    def to_prune(self, running: Collection[str]) -> list[str]:
        """Return the running cells of trials whose mean score is below the median of earlier ones at the same time."""
        if self._settings.pruner == "none":
            return []
        for number, trial_cells in self._trials.items():
            if number not in self._pruned and self._is_due_to_prune(trial_cells):
                self._pruned.add(number)
                self._study.set_user_attr(f"pruned-{number}", True)
        return [cell.name for number in self._pruned for cell in self._trials.get(number, ()) if cell.name in running]

    def _is_due_to_prune(self, trial_cells: Sequence[Cell]) -> bool:
        curves = [objective.curve(self._root / cell.name) for cell in trial_cells]
        done = min(map(len, curves))
        config = trial_cells[0].config
        due = max(1, config.frames // (config.evaluation.every or config.frames // 10))
        return done > WARM_UP * due and self._is_below_median(curves, done)

    def _is_below_median(self, curves: Sequence[objective.Curve], done: int) -> bool:
        """Compare the mean score at evaluation ``done`` with that of complete trials."""
        others = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            theirs = [objective.curve(self._root / name) for name in trial.user_attrs.get("cells", [])]
            if theirs and min(map(len, theirs)) >= done:
                others.append(objective.mean([curve[done - 1][1] for curve in theirs]))
        mine = objective.mean([curve[done - 1][1] for curve in curves])
        return len(others) >= 4 and mine < float(np.median(others))

    def _ask(self) -> None:
        number = len(self._study.get_trials(deepcopy=False))
        # A seeded sampler repeats its draws after a resume, so each trial has a sampler of its own.
        self._study.sampler = study.sampler(self._declaration, number)
        trial = self._study.ask(self._distributions)
        trial.set_user_attr("cells", [cell.name for cell in self._cells_of(settings_of(trial.params))])
        self._begin(trial.number, settings_of(trial.params))

    def _begin(self, number: int, settings: dict[str, Any]) -> None:
        """Make a trial's cells; those that are finished on disk are not trained again."""
        self._trials[number] = self._cells_of(settings)
        self._ended[number] = set()
        for cell in self._trials[number]:
            self._number_of[cell.name] = number
            if cells.state(self._root / cell.name) is CellState.FINISHED:
                self._ended[number].add(cell.name)
            else:
                self._pending.append((number, cell))
        self._tell_if_complete(number)

    def _cells_of(self, settings: Mapping[str, Any]) -> list[Cell]:
        return study.cells_of(self._declaration, settings, self._resolver)

    def _tell_if_complete(self, number: int) -> None:
        trial_cells = self._trials[number]
        if len(self._ended[number]) < len(trial_cells):
            return
        worst = self._worst()
        values = [
            objective.normalised(
                objective.value(
                    objective.curve(self._root / cell.name), self._settings.objective, cell.config.frames, worst
                ),
                cell.config,
                self._settings.normalisation,
            )
            for cell in trial_cells
        ]
        # Samplers ignore failed trials, and would propose a diverging rate again: its value is the worst score.
        self._study.tell(number, objective.mean(values))
        del self._trials[number], self._ended[number]

    def _worst(self) -> float:
        """Return the lowest score of any evaluation in the sweep."""
        found = [score for run in self._root.iterdir() if run.is_dir() for _, score in objective.curve(run)]
        return min(found, default=0.0)
