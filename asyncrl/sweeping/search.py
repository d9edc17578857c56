"""A search of settings with Optuna: asks for trials, gets their cells trained, and tells their values.

One driver owns the study. A trial that a killed driver left is matched with its runs by the settings that the study
stores, and trained to its end before a new one is asked for. Trials with equal settings have the same cells: these are
trained once.
"""

import statistics
from collections.abc import Collection, Iterator, Sequence, Set
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from asyncrl.errors import InputError
from asyncrl.sweeping import cells, objective, proposals, pruning, study, study_file
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.declaration import Declaration
from asyncrl.sweeping.parameters import FAILED, INVALID, PRUNED
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.source import cores_of


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
        attributes = self._study.user_attrs
        self._pruned = set(study.numbers(attributes, PRUNED))
        self._invalid = set(study.numbers(attributes, INVALID))  # numbers of trials that cannot be trained
        self._messages: list[str] = []
        self._submitted: set[str] = set()  # names of cells that the driver got
        self._ended: set[str] = set()  # names of cells that are not trained any further
        self._finished: set[str] = set()  # those that were trained to their end
        self._curves: dict[str, objective.Curve] = {}  # of cells that have ended
        self._example = study.cells_of(declaration, study.first_point(declaration), resolver)
        for trial in self._study.get_trials(deepcopy=False):
            self._restore(trial)
        cells.check_settings(root, [cell for each in self._cells.values() for cell in each])
        self.failed = list(self._failures())
        self._tell_complete()

    def _restore(self, trial: FrozenTrial) -> None:
        """Take a stored trial; one that waits, or was stored without some of its parameters, gets them."""
        has_all = trial.params.keys() == study.distributions(self._declaration).keys()
        if trial.state is TrialState.WAITING or (trial.state is TrialState.RUNNING and not has_all):
            self._start(trial.number)
        else:
            self._take(trial)

    def _start(self, number: int) -> None:
        """Store trial ``number``, which is absent, waits, or is incomplete, with the proposed parameters."""
        with study_file.in_use(self._root):
            trial = proposals.start(self._study, number, self._declaration)
        if trial.state is TrialState.FAIL:
            self._leave_out(number, self._study.user_attrs[f"{INVALID}{number}"])
        self._take(trial)

    def _take(self, trial: FrozenTrial) -> None:
        """Make a trial's cells; those that have ended are not trained again."""
        made: list[Cell] = []
        if trial.state in study.WITH_CELLS and trial.number not in self._invalid:
            try:
                made = study.trial_cells(trial, self._declaration, self._resolver)
            except InputError as error:
                with study_file.in_use(self._root):
                    self._study.set_user_attr(f"{INVALID}{trial.number}", str(error))
                self._leave_out(trial.number, str(error))
        self._cells[trial.number] = made
        self._look(made)
        if trial.state is TrialState.RUNNING:
            self._running.append(trial.number)
        else:
            self._ended.update(cell.name for cell in made)

    def _leave_out(self, number: int, reason: str) -> None:
        self._invalid.add(number)
        self._messages.append(f"left out trial {number}: {reason}")

    def _look(self, trial_cells: Sequence[Cell]) -> None:
        """Note which cells are finished on disk."""
        for cell in trial_cells:
            if cell.name not in self._submitted and cells.state(self._root / cell.name) is CellState.FINISHED:
                self._finished.add(cell.name)
                self._ended.add(cell.name)

    def _failures(self) -> Iterator[tuple[Cell, str]]:
        """Yield the cells of earlier calls that failed, each with the reason."""
        pruned = {cell.name for number in self._pruned for cell in self._cells.get(number, ())}
        found = {
            cell.name: cell
            for number, made in self._cells.items()
            if number not in self._running
            for cell in made
            if cell.name not in self._finished | pruned
        }
        for name, cell in found.items():
            document = cells.document(self._root / name)
            default = "it failed in an earlier call" if document else "it has no run, and is not trained again"
            yield cell, (document and document.reason) or default

    @property
    def total(self) -> int:
        """Return the number of cells of all trials, without those of trials that cannot be trained."""
        return len(self._example) * self._to_come + sum(map(len, self._cells.values()))

    @property
    def finished(self) -> int:
        """Return the number of finished cells of all trials; a cell of two trials counts twice."""
        return sum(cell.name in self._finished for each in self._cells.values() for cell in each)

    @property
    def frames_left(self) -> int:
        """Return the frames of cells that are not begun, of these trials and of those to come."""
        frames_per_trial = sum(cell.config.frames for cell in self._example)
        return self._to_come * frames_per_trial + sum(cell.config.frames for cell in self._waiting())

    @property
    def next_cores(self) -> int | None:
        """Return how many cores the next cell keeps busy; None if all trials were asked for."""
        waiting = next(self._waiting(), None)
        if waiting:
            return cores_of(waiting)
        return min(map(cores_of, self._example)) if self._to_come else None

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
            self._start(len(self._cells))
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

    def take_messages(self) -> list[str]:
        """Return which trials were left out since the last call."""
        taken, self._messages = self._messages, []
        return taken

    def to_prune(self, running: Collection[str]) -> list[str]:
        """Return the running cells of trials whose mean score is below the median of earlier ones at the same time."""
        if self._settings.pruner == "none":
            return []
        for number in self._running:
            if number not in self._pruned | self._invalid and self._is_due_to_prune(self._cells[number]):
                self._pruned.add(number)
                with study_file.in_use(self._root):
                    self._study.set_user_attr(f"{PRUNED}{number}", True)
        wanted = {cell.name for cell in self._wanted()}
        pruned = [cell for number in self._running if number in self._pruned for cell in self._cells[number]]
        self._tell_complete()
        return [cell.name for cell in pruned if cell.name in running and cell.name not in wanted]

    def _is_due_to_prune(self, trial_cells: Sequence[Cell]) -> bool:
        """Compare a trial with those that are told."""
        others = (
            [self._curve(cell) for cell in theirs]
            for number, theirs in self._cells.items()
            if number not in self._running
        )
        configs, curves = [cell.config for cell in trial_cells], [self._curve(cell) for cell in trial_cells]
        return pruning.is_below_median(configs, curves, others, self._settings.normalisation)

    def _tell_complete(self) -> None:
        """Tell the value of each running trial that has no cell to wait for.

        Samplers ignore failed trials, and would propose a diverging rate, or settings that are not valid together,
        again: their value is the worst score. While there is no score, they wait for one.
        """
        for number in list(self._running):
            names = {cell.name for cell in self._cells[number]}
            if names <= self._ended or (number in self._pruned and not names & (self._submitted - self._ended)):
                values = self._values(number)
                if not values:
                    continue
                self._running.remove(number)
                with study_file.in_use(self._root):
                    self._tell(number, names, statistics.fmean(values))
                self._ended |= names

    def _tell(self, number: int, names: Set[str], value: float) -> None:
        """Store which part of a trial's runs has failed, then its value: a trial without a value is trained again."""
        failed = names - self._finished if number not in self._pruned else ()
        # what a killed driver has stored may not hold any more
        if failed or f"{FAILED}{number}" in self._study.user_attrs:
            self._study.set_user_attr(f"{FAILED}{number}", len(failed) / max(1, len(names)))
        self._study.tell(number, value)

    def _values(self, number: int) -> list[float]:
        """Return the objective of a trial for each seed; nothing while it needs a score that no run has."""
        made = {cell.name: cell for each in self._cells.values() for cell in each}
        worst = objective.worst_scores((self._curve(cell), cell.config) for cell in made.values())
        if number in self._invalid:
            return objective.worst_values((cell.config for cell in self._example), self._settings, worst)
        runs = [(self._curve(cell), cell.config) for cell in self._cells[number]]
        return objective.means_of_seeds(runs, self._settings, worst)

    def _curve(self, cell: Cell) -> objective.Curve:
        """Return the evaluations of a cell; those of one that has ended do not change, and are read once."""
        if cell.name in self._curves:
            return self._curves[cell.name]
        curve = objective.curve(self._root / cell.name)
        if cell.name in self._ended:
            self._curves[cell.name] = curve
        return curve
