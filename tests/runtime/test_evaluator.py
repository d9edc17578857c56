"""Evaluation: as many games as were asked for, each of them whole, whatever their length."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from asyncrl.envs.gym import GymEnvironments
from asyncrl.events import Evaluated, Failure
from asyncrl.learners.base import Act
from asyncrl.runtime import evaluator
from asyncrl.runtime.evaluator import TRAINING_GAMES, Exam, Examiner, examine
from asyncrl.runtime.parameters import flatten
from asyncrl.training import job_builder
from tests.runtime.setups import children, describe, resolve
from tests.runtime.test_worker import CountingNet, Weights
from tests.runtime.toys import counting


def setup(episodes=5, seed=1, **table):
    """Return an evaluation and fresh weights."""
    config = resolve(**table)
    spec = describe(config)
    torch.manual_seed(1)
    return job_builder.make_exam(config, spec, episodes, seed, TRAINING_GAMES), flatten(
        job_builder.make_network(config, spec)
    )


class Still:
    """A learner that acts 0."""

    def act(self, net, obs, carry, T):
        """Ask the network, and do not listen."""
        return Act(torch.zeros(len(obs)).long(), net(obs[None], carry)[1] if carry else carry)


def exam_of(lengths, episodes, make_network=Weights):
    """Return an evaluation whose games last as long as told, in the order of their starts."""
    queue = iter(lengths)

    class Queued(type(counting(1))):
        def begin(self):
            self.LENGTH = next(queue)

    return Exam(
        Still(),
        make_network,
        lambda n: GymEnvironments("toys", [Queued() for _ in range(n)]),
        episodes,
        1,
        1,
        TRAINING_GAMES,
    )


@pytest.mark.parametrize(("episodes", "together"), [(1, 4), (3, 4), (4, 4), (5, 4), (11, 4), (20, 16)])
def test_every_game_that_was_started_counts_and_no_other(monkeypatch, episodes, together):
    """Of short and long games side by side, taking the first to end would take the short ones."""
    monkeypatch.setattr(evaluator, "MAX_TOGETHER", together)
    lengths = [50, 1, 2, 40] + [3, 30] * 300
    result = examine(exam_of(lengths, episodes), torch.zeros(3), T=7)
    assert sorted(result.lengths) == sorted(lengths[:episodes])
    assert result.scores == result.lengths
    assert result.T == 7


def test_the_mean_length_is_that_of_all_games():
    exam, theta = setup(400, env="tests.runtime.toys:Dice")
    assert np.mean(examine(exam, theta, 0).lengths) == pytest.approx(25.5, abs=2.5)  # of 1 … 50; 0.72 standard error


def test_the_same_seed_gives_the_same_games_and_another_or_another_time_does_not():
    exam, theta = setup(env="CartPole-v1")
    first = examine(exam, theta, 10)
    torch.rand(1)
    assert examine(exam, theta, 10) == first
    assert examine(exam, theta, 11).scores != first.scores
    assert examine(setup(seed=2, env="CartPole-v1")[0], theta, 10).scores != first.scores


def test_the_carry_is_empty_where_a_game_begins():
    exam = exam_of([3, 5, 7, 2, 4, 6, 3] * 9, 20, lambda: CountingNet(policy=False))
    examine(exam, torch.zeros(2), 0)  # the network insists


def spelt(algo, epsilon, theta=None):
    """Return the games' scores, their actions spelt in binary, for weights that say nothing."""
    exam, fresh = setup(40, env="tests.runtime.toys:Spelling", algo=algo, evaluation={"epsilon": epsilon})
    return examine(exam, torch.zeros_like(fresh) if theta is None else theta, 0).scores


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q"])
def test_value_methods_explore_by_the_epsilon_of_evaluations(algo):
    assert set(spelt(algo, 0.0)) == {0.0}  # of equals, the first
    ones = sum(bin(int(score)).count("1") for score in spelt(algo, 0.2))
    assert ones / (40 * 16) == pytest.approx(0.1, abs=0.05)


def test_policies_are_sampled():
    ones = [bin(int(score)).count("1") for score in spelt("a3c", 0.0)]
    assert sum(ones) / (40 * 16) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("algo", ["a3c", "n-step-q"])
def test_weights_that_are_not_finite_are_refused(algo):
    exam, theta = setup(algo=algo)
    theta[1] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        examine(exam, theta, 0)


def test_an_evaluation_does_not_touch_the_weights():
    exam, theta = setup()
    before = theta.clone()
    examine(exam, theta, 0)
    assert torch.equal(theta, before)


def test_a_process_of_its_own_finds_the_same_and_is_replaced_if_it_dies_but_not_for_ever():
    before = children(os.getpid())
    exam, theta = setup(env="CartPole-v1")
    exam = replace(exam, restarts=1)
    examiner = Examiner(exam)
    try:
        for T in (10, 20, 10):
            examiner.send(theta, T)
            assert hear(examiner) == examine(exam, theta, T)
        assert examiner.hear(timeout=0) is None
        os.kill(examiner._process.pid, signal.SIGKILL)
        examiner._process.join()
        examiner.send(theta, 30)
        died = Failure(-1, "the evaluation died without a word (exit code -9)", "", is_final=False)
        assert hear(examiner) == died
        assert hear(examiner) == examine(exam, theta, 30)
        for is_final in (False, True):
            os.kill(examiner._process.pid, signal.SIGKILL)
            examiner._process.join()
            assert hear(examiner) == died._replace(is_final=is_final)
    finally:
        examiner.close()
    assert children(os.getpid()) == before


def test_a_process_that_hangs_is_replaced_and_one_that_is_slow_is_not(monkeypatch):
    exam, theta = setup(8, env="tests.runtime.toys:SlowExam")  # 4 s, 0.8 s a step
    examiner = Examiner(exam)
    try:
        examiner.send(theta, 1)
        assert examiner.hear(timeout=30) is None  # the first step: it has started
        monkeypatch.setattr(evaluator, "PATIENCE", 2.5 / exam.hang_seconds)
        assert isinstance(hear(examiner), Evaluated)
        os.kill(examiner._process.pid, signal.SIGSTOP)
        examiner.send(theta, 2)
        assert hear(examiner) == Failure(-1, "the evaluation hung: it made no step for 3 seconds", "", is_final=False)
    finally:
        examiner.close()


def test_a_game_that_raises_is_played_again_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(evaluator, "REPEATS", 1)
    exam, theta = setup(env="tests.toys:Crashing")
    examiner = Examiner(exam)
    try:
        examiner.send(theta, 0)
        failures = [hear(examiner)]
        os.kill(examiner._process.pid, signal.SIGKILL)  # which is counted apart
        died = hear(examiner)
        failures.append(hear(examiner))
    finally:
        examiner.close()
    assert "exit code -9" in died.reason
    assert [failure.is_final for failure in (failures[0], died, failures[1])] == [False, False, True]
    for failure in failures:
        assert failure.reason == "the evaluation failed: RuntimeError: the floor gave way"
        assert "toys.py" in failure.traceback


def hear(examiner) -> Evaluated | Failure | None:
    end = time.monotonic() + 60
    while (result := examiner.hear(timeout=1)) is None and time.monotonic() < end:
        pass
    return result
