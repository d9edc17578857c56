"""Searches in which trials have equal settings, and searches whose study was lost, renamed or cut off."""

from collections import Counter

import optuna
import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import study
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.parameters import PRUNED
from asyncrl.sweeping.study_file import open_or_create
from tests.sweeping.fakes import FakeExecutor
from tests.sweeping.test_search import search

LR = {"optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True}}
BASE = {"env": "CartPole-v1", "frames": 6000, "threads": 1}


def declare(vary=LR, n=4, base=BASE, **more):
    return parse({"sweep": {"kind": "optuna", "n": n, "seeds": 2} | more, "base": base, "vary": vary})


class SlotsExecutor(FakeExecutor):
    """Has several slots; the oldest task ends at each poll."""

    def __init__(self, slots, **options):
        super().__init__(**options)
        self._slots = slots

    def has_room(self, cores):
        return len(self._ends) < self._slots

    def poll(self):
        ended, self._ends = self._ends[:1], self._ends[1:]
        return ended


@pytest.mark.parametrize(("slots", "vary"), [(1, {"t_max": {"low": 1, "high": 2}}), (3, {"algo": ["a3c"]})])
def test_search_trains_cells_of_equal_trials_once(slots, vary, tmp_path):
    executor = SlotsExecutor(slots)
    outcome = search(tmp_path / "s", executor, declare(vary, n=4))
    assert set(Counter(executor.started).values()) == {1}
    assert (outcome.code, outcome.progress.finished, outcome.progress.total) == (Exit.OK, 8, 8)
    assert len(study.trials(tmp_path / "s")) == 4


def test_search_without_its_study_takes_the_finished_runs(tmp_path):
    search(tmp_path / "s", FakeExecutor(), declare(n=2))
    before = study.trials(tmp_path / "s")
    (tmp_path / "s/study.db").unlink()
    executor = FakeExecutor()
    outcome = search(tmp_path / "s", executor, declare(n=2))
    assert executor.started == []
    assert (outcome.progress.finished, outcome.progress.total) == (4, 4)
    assert study.trials(tmp_path / "s") == before


def test_search_in_a_renamed_directory_continues_its_study(tmp_path):
    search(tmp_path / "s", FakeExecutor(), declare(n=2))
    (tmp_path / "s").rename(tmp_path / "other")
    executor = FakeExecutor()
    outcome = search(tmp_path / "other", executor, declare(n=3))
    assert len(executor.started) == 2
    assert outcome.progress.finished == 6
    assert len(study.trials(tmp_path / "other")) == 3


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("sampler", "known"), [("tpe", 0), ("random", 1), ("sobol", 1)])
def test_search_killed_inside_a_proposal_proposes_the_same(sampler, known, tmp_path):
    vary = LR | {"t_max": {"low": 2, "high": 20}}
    search(tmp_path / "whole", FakeExecutor(), declare(vary, 3, sampler=sampler))
    search(tmp_path / "parts", FakeExecutor(), declare(vary, 2, sampler=sampler))
    # What a process leaves that is killed between the writes of a trial, which has some of its parameters.
    stored = open_or_create(tmp_path / "parts")
    whole = open_or_create(tmp_path / "whole").trials[2].params
    stored.sampler = optuna.samplers.PartialFixedSampler(whole, optuna.samplers.RandomSampler())
    stored.ask(dict(list(study.distributions(declare(vary)).items())[:known]))
    search(tmp_path / "parts", FakeExecutor(), declare(vary, 3, sampler=sampler))
    assert study.trials(tmp_path / "parts") == study.trials(tmp_path / "whole")


class FailingExecutor(FakeExecutor):
    """Fails the tasks with a high learning rate."""

    def submit(self, task):
        self._failing = [task.name] if task.table["optimizer"]["lr"] > 1e-3 else []
        super().submit(task)


def test_search_with_failed_trials_called_again_counts_the_same(tmp_path):
    counts = []
    for _ in range(2):
        outcome = search(tmp_path / "s", FailingExecutor(), declare())
        failed = sorted(cell.name for cell, _ in outcome.progress.failed)
        counts.append((outcome.code, outcome.progress.finished, outcome.progress.total, failed))
    assert counts[0] == counts[1]
    assert counts[0][0] == Exit.SWEEP_INCOMPLETE
    assert counts[0][1] < 8


@pytest.mark.parametrize("damage", [b"no database\n" * 1000, None])
def test_search_with_a_damaged_study_names_the_file_on_one_line(damage, tmp_path):
    search(tmp_path / "s", FakeExecutor(), declare(n=1))
    file = tmp_path / "s/study.db"
    file.write_bytes(file.read_bytes()[:50_000] if damage is None else damage)
    with pytest.raises(InputError, match=r"study\.db cannot be used: ") as raised:
        search(tmp_path / "s", FakeExecutor(), declare(n=1))
    assert len(str(raised.value)) < 600
    assert "\n" not in str(raised.value)


def test_search_whose_study_is_damaged_meanwhile_ends_with_one_line(tmp_path):
    class Damaging(FakeExecutor):
        def submit(self, task):
            super().submit(task)
            (tmp_path / "s/study.db").write_bytes(b"no database\n" * 1000)

    with pytest.raises(InputError, match=r"study\.db cannot be used any more: .* the same command continues"):
        search(tmp_path / "s", Damaging(), declare())


def test_search_failed_run_has_the_worst_score_of_its_own_game(tmp_path):
    class Games(FakeExecutor):
        def submit(self, task):
            self._failing = [task.name] if "freeway" in task.name and task.table["seed"] == 2 else []
            self._score = lambda table: -17000.0 if table["env"] == "skiing" else 20.0
            super().submit(task)
            if self._failing:
                (task.root / task.name / "evaluations.jsonl").write_text("")

    declared = declare(LR | {"env": ["freeway", "skiing"]}, 1, {"frames": "1M", "threads": 1}, normalisation="human")
    search(tmp_path / "s", Games(), declared)
    assert -2 < study.trials(tmp_path / "s")[0].value < 2


def test_search_with_a_pruned_trial_called_again_has_no_failed_cell(tmp_path):
    vary = {"t_max": {"low": 5, "high": 6}}
    search(tmp_path / "s", FakeExecutor(), declare(vary, n=1))
    stored = open_or_create(tmp_path / "s")
    stored.set_user_attr(f"{PRUNED}0", True)
    for file in (tmp_path / "s").glob("*/run.json"):
        file.write_text(file.read_text().replace('"finished"', '"interrupted"'))
    codes = [search(tmp_path / "s", FakeExecutor(), declare(vary, n=8)).code for _ in range(2)]
    assert len({repr(trial.settings) for trial in study.trials(tmp_path / "s")}) == 2
    assert codes == [Exit.OK, Exit.OK]
