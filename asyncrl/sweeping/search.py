"""A search of settings with Optuna: asks for trials, gets their cells trained, and tells their values.

One driver owns the study. A trial that a killed driver left is matched with its runs by the settings that the study
stores, and trained to its end before a new one is asked for. Trials with equal settings have the same cells: these are
trained once.
"""

import statistics
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from asyncrl.sweeping import cells, objective, study, study_file
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import settings_of
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.source import cores_of

WARM_UP = 1 / 3  # of the evaluations of a run, before the median pruner may stop it
FEWEST_TRIALS = 4  # complete ones with which the median pruner compares


class Search:
    """The source of a driver's cells for ``kind = "optuna"``."""

    def __init__(self, root: Path, declaration: Declaration, resolver: Resolver) -> None:
        """Open the study, or create it.

        Args:
            root: the directory of the sweep.
            declaration: what its file says.
            resolver: makes cells.

        Raises:
            InputError: the study cannot be used, or a run of it was trained with other settings.
        """
        self._root, self._declaration, self._resolver = root, declaration, resolver
        self._settings = declaration.sweep
        self._study = study_file.open_or_create(root)
        self._cells: dict[int, list[Cell]] = {}  # of every trial
        self._running: list[int] = []  # numbers of trials that are not told
        self._pruned = {int(name.removeprefix(study.PRUNED)) for name in self._study.user_attrs if _is_pruned(name)}
        self._submitted: set[str] = set()  # names of cells that the driver got
        self._ended: set[str] = set()  # names of cells that are not trained any further
        self._finished: set[str] = set()  # those that were trained to their end
        example = study.cells_of(declaration, study.first_point(declaration), resolver)
        self._cells_per_trial, self._cores = len(example), min(map(cores_of, example))
        self._frames_per_trial = sum(cell.config.frames for cell in example)
        for trial in self._study.get_trials(deepcopy=False):
            self._restore(trial)
        cells.check_settings(root, [cell for each in self._cells.values() for cell in each])
        self.failed = list(self._failures())
        self._tell_complete()

    def _restore(self, trial: FrozenTrial) -> None:
        """Take a stored trial; one that was stored without some of its parameters gets them."""
        if trial.state is TrialState.RUNNING:
            if trial.params.keys() != study.distributions(self._declaration).keys():
                self._propose(trial.number)
            else:
                self._begin(trial)
            return
        made = study.cells_of(self._declaration, settings_of(trial.params), self._resolver)
        self._cells[trial.number] = made if trial.state is TrialState.COMPLETE else []
        self._look(self._cells[trial.number])
        self._ended.update(cell.name for cell in self._cells[trial.number])

    def _propose(self, number: int) -> None:
        """Store trial ``number``, which is absent or incomplete, with the parameters that its sampler proposes."""
        with study_file.in_use(self._root):
            parameters = study.propose(self._declaration, number, self._study.get_trials(deepcopy=False))
            # A trial whose settings are not valid is not stored.
            study.cells_of(self._declaration, settings_of(parameters), self._resolver)
            study.add_running(self._study, number, parameters, self._declaration)
            trial = self._study.get_trials(deepcopy=False)[number]
        self._begin(trial)

    def _begin(self, trial: FrozenTrial) -> None:
        """Make a trial's cells; those that have ended are not trained again."""
        self._cells[trial.number] = study.cells_of(self._declaration, settings_of(trial.params), self._resolver)
        self._running.append(trial.number)
        self._look(self._cells[trial.number])

    def _look(self, trial_cells: Sequence[Cell]) -> None:
        """Note which cells are finished on disk."""
        for cell in trial_cells:
            if cell.name not in self._submitted and cells.state(self._root / cell.name) is CellState.FINISHED:
                self._finished.add(cell.name)
                self._ended.add(cell.name)

    def _failures(self) -> Iterator[tuple[Cell, str]]:
        """Yield the cells of earlier calls that failed, each with the reason."""
        found = {
            cell.name: cell
            for number, trial_cells in self._cells.items()
            if number not in self._running and number not in self._pruned
            for cell in trial_cells
            if cell.name not in self._finished
        }
        for name, cell in found.items():
            document = cells.document(self._root / name)
            yield cell, (document and document.reason) or "it failed in an earlier call"

    @property
    def total(self) -> int:
        """Return the number of cells of all trials."""
        return self._cells_per_trial * max(self._settings.n or 0, len(self._cells))

    @property
    def finished(self) -> int:
        """Return the number of finished cells of all trials; a cell of two trials counts twice."""
        return sum(cell.name in self._finished for each in self._cells.values() for cell in each)

    @property
    def frames_left(self) -> int:
        """Return the frames of cells that are not begun, of these trials and of those to come."""
        return self._to_come * self._frames_per_trial + sum(cell.config.frames for cell in self._waiting())

    @property
    def next_cores(self) -> int | None:
        """Return how many cores the next cell keeps busy; None if all trials were asked for."""
        waiting = next(self._waiting(), None)
        if waiting:
            return cores_of(waiting)
        return self._cores if self._to_come else None

    @property
    def _to_come(self) -> int:
        return max(0, (self._settings.n or 0) - len(self._cells))

    def _waiting(self) -> Iterator[Cell]:
        """Yield the cells that the driver has not got."""
        seen = self._submitted | self._ended
        for cell in self._wanted():
            if cell.name not in seen:
                seen.add(cell.name)
                yield cell

    def _wanted(self) -> Iterator[Cell]:
        """Yield the cells of running trials that are not pruned."""
        for number in self._running:
            if number not in self._pruned:
                yield from self._cells[number]

    def next(self) -> Cell | None:
        """Return a cell of a running trial, or ask for new ones; None if all trials have their cells already."""
        while not (cell := next(self._waiting(), None)) and self._to_come:
            self._propose(len(self._cells))
            self._tell_complete()
        if cell:
            self._submitted.add(cell.name)
        return cell

    def record(self, cell: Cell, is_finished: bool) -> None:
        """Tell the value of each trial whose cells have now all ended."""
        self._ended.add(cell.name)
        if is_finished:
            self._finished.add(cell.name)
        self._tell_complete()

    def to_prune(self, running: Collection[str]) -> list[str]:
        """Return the running cells of trials whose mean score is below the median of earlier ones at the same time."""
        if self._settings.pruner == "none":
            return []
        for number in self._running:
            if number not in self._pruned and self._is_due_to_prune(self._cells[number]):
                self._pruned.add(number)
                with study_file.in_use(self._root):
                    self._study.set_user_attr(f"{study.PRUNED}{number}", True)
        wanted = {cell.name for cell in self._wanted()}
        pruned = [cell for number in self._running if number in self._pruned for cell in self._cells[number]]
        self._tell_complete()
        return [cell.name for cell in pruned if cell.name in running and cell.name not in wanted]

    def _is_due_to_prune(self, trial_cells: Sequence[Cell]) -> bool:
        """Compare those runs of a trial that have done a third of their evaluations with the same runs of others."""
        curves = [objective.curve(self._root / cell.name) for cell in trial_cells]
        config = trial_cells[0].config
        due = max(1, config.frames // (config.evaluation.every or config.frames // 10))
        compared = [i for i, curve in enumerate(curves) if len(curve) > WARM_UP * due]
        if not compared:
            return False
        done = min(len(curves[i]) for i in compared)

        def mean(trial_curves: Sequence[objective.Curve]) -> float:
            return statistics.fmean(
                objective.normalised(trial_curves[i][done - 1][1], trial_cells[i].config, self._settings.normalisation)
                for i in compared
            )

        others = []
        for number, theirs in self._cells.items():
            if number not in self._running and len(theirs) == len(trial_cells):
                their_curves = [objective.curve(self._root / cell.name) for cell in theirs]
                if min(len(their_curves[i]) for i in compared) >= done:
                    others.append(mean(their_curves))
        return len(others) >= FEWEST_TRIALS and mean(curves) < float(np.median(others))

    def _tell_complete(self) -> None:
        """Tell the value of each running trial that has no cell to wait for."""
        for number in list(self._running):
            names = {cell.name for cell in self._cells[number]}
            if names <= self._ended or (number in self._pruned and not names & (self._submitted - self._ended)):
                self._running.remove(number)
                # Samplers ignore failed trials, and would propose a diverging rate again: its value is the worst score.
                with study_file.in_use(self._root):
                    self._study.tell(number, statistics.fmean(self._values(number)))
                self._ended |= names

    def _values(self, number: int) -> list[float]:
        """Return the objective of a trial for each seed."""
        made = {cell.name: cell for each in self._cells.values() for cell in each}
        worst = objective.worst_scores((self._root / name, cell.config) for name, cell in made.items())
        runs = [(self._root / cell.name, cell.config) for cell in self._cells[number]]
        return objective.means_of_seeds(runs, self._settings, worst)


def _is_pruned(attribute: str) -> bool:
    return attribute.startswith(study.PRUNED) and attribute.removeprefix(study.PRUNED).isdecimal()
