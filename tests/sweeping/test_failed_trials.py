"""Trials whose runs fail are not the best ones where another trial has a value; evaluations are read once."""

import contextlib
from collections import Counter

import pytest

from asyncrl.store import rows
from asyncrl.sweeping import study
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.parameters import FAILED
from asyncrl.sweeping.study_file import open_or_create
from tests.sweeping.fakes import FakeExecutor, KilledError
from tests.sweeping.test_search import search
from tests.sweeping.test_search_runs import BASE, table

VARY = {"t_max": {"low": 2, "high": 500}}


class Failing(FakeExecutor):
    """Some runs fail, given by their places in the order of the first starts; these have another score."""

    def __init__(self, *failing, score=0.0, score_of_failed=0.0):
        super().__init__(score=lambda table: self.scores[bool(self._failing)])
        self.scores, self.places = (score, score_of_failed), failing

    def submit(self, task):
        order = list(dict.fromkeys([*self.started, task.name]))
        self._failing = [task.name] if order.index(task.name) in self.places else []
        super().submit(task)


def numbers(root):
    return [trial.number for trial in study.trials(root)]


@pytest.mark.parametrize(
    ("executor", "order"),
    [
        (Failing(0, 1), [1, 2, 0]),  # all runs of trial 0
        (Failing(0, 1, score=-1.0, score_of_failed=10.0), [1, 2, 0]),
        (Failing(1), [1, 2, 0]),
        (Failing(1, score=-1.0, score_of_failed=10.0), [0, 1, 2]),  # its value has the failure already
        (Failing(0, 1, 2, 3, 4, 5), [0, 1, 2]),
    ],
    ids=["all of equal value", "of higher value", "one of equal value", "one of higher value", "of all trials"],
)
def test_search_with_failed_runs_names_another_trial_as_the_best(executor, order, train, tmp_path):
    search(tmp_path / "s", executor, parse(table(VARY, seeds=2)))
    result = train(table(VARY, seeds=2))
    assert "s" not in train.started
    assert numbers(tmp_path / "s") == order
    assert result.best["trial"] == order[0]


def test_search_trial_that_failed_before_its_driver_was_killed_and_is_trained_again_is_no_failed_one(tmp_path):
    with contextlib.suppress(KilledError):
        search(tmp_path, FakeExecutor(die_after=1, score=lambda table: 1.0), parse(table(VARY)))
    open_or_create(tmp_path).set_user_attr(f"{FAILED}1", 1.0)
    search(tmp_path, FakeExecutor(score=lambda table: 2.0), parse(table(VARY)))
    assert numbers(tmp_path) == [1, 2, 0]


def test_search_whose_study_has_another_attribute_of_that_name_is_read(tmp_path):
    search(tmp_path, FakeExecutor(score=lambda table: 0.0), parse(table(VARY)))
    for number, stored in enumerate(("x", [1], None)):
        open_or_create(tmp_path).set_user_attr(f"{FAILED}{number}", stored)
    assert numbers(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_search_reads_the_evaluations_of_an_ended_run_once(pruner, monkeypatch, tmp_path):
    counts, read = Counter(), rows.read_rows

    def count(run, name):
        counts[run.name] += 1
        return read(run, name)

    monkeypatch.setattr(rows, "read_rows", count)
    executor = FakeExecutor()
    search(tmp_path, executor, parse(table(VARY, n=12, pruner=pruner, base=BASE | {"evaluation.every": 3000})))
    # and a few times while it was running
    assert max(counts[name] for name in executor.started) <= 4
