import contextlib

import pytest

from asyncrl.sweeping import study
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.driver import Driver
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.search import Search
from tests.sweeping.fakes import FakeExecutor, KilledError

SAMPLERS = ("tpe", "random", "sobol", "gp")


def declaration(sampler="tpe", n=12, **more):
    return parse(
        {
            "sweep": {"kind": "optuna", "n": n, "seeds": 2, "sampler": sampler} | more,
            "base": {"env": "CartPole-v1", "frames": 6000, "threads": 1},
            "vary": {"optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True}, "t_max": {"low": 2, "high": 20}},
        }
    )


def search(root, executor, declared):
    root.mkdir(exist_ok=True)
    source = Search(root, declared, Resolver())
    return Driver(root, source, executor, lambda progress: None).run()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_search_killed_and_resumed_proposes_the_same_trials(sampler, tmp_path):
    declared = declaration(sampler)
    search(tmp_path / "whole", whole := FakeExecutor(), declared)
    started = []
    for die_after in (3, 6, 4, None):  # 3: between the two seeds of a trial
        executor = FakeExecutor(die_after=die_after)
        with contextlib.suppress(KilledError):
            search(tmp_path / "parts", executor, declared)
        started += executor.started
    assert sorted(started) == sorted(whole.started)
    assert len(set(started)) == 24
    ranked = [study.trials(tmp_path / name) for name in ("whole", "parts")]
    assert ranked[0] == ranked[1]
    assert len(ranked[0]) == 12


def test_search_finds_the_best_learning_rate(tmp_path):
    search(tmp_path, FakeExecutor(), declaration(n=24))
    best = study.trials(tmp_path)[0]
    assert 3e-4 < best.settings["optimizer.lr"] < 3e-3
    assert best.value > 90


def test_search_larger_n_continues_the_study(tmp_path):
    search(tmp_path, FakeExecutor(), declaration(n=4))
    executor = FakeExecutor()
    outcome = search(tmp_path, executor, declaration(n=6))
    assert len(executor.started) == 4
    assert outcome.progress.finished == outcome.progress.total == 12


def test_search_failed_trial_has_the_worst_score(tmp_path):
    class Failing(FakeExecutor):
        def submit(self, task):
            self._failing = [task.name] if task.table["optimizer"]["lr"] > 1e-3 else []
            super().submit(task)

    search(tmp_path, Failing(score=lambda table: 1e9 if table["optimizer"]["lr"] > 1e-3 else 50.0), declaration(n=12))
    ranked = study.trials(tmp_path)
    assert len(ranked) == 12
