"""Evaluation: as many games as were asked for, each of them whole, whatever their length."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from asyncrl.envs.gym import GymEnvironments
from asyncrl.events import Evaluated, Incident, Severity
from asyncrl.networks.flat import flatten
from asyncrl.rollout import Act
from asyncrl.runtime import evaluator
from asyncrl.runtime.evaluator import TRAINING_EPISODES, EvaluationSpec, Evaluator, evaluate
from asyncrl.training import job_builder
from tests.runtime.setups import children, describe, resolve
from tests.runtime.test_worker import CountingNet, Weights
from tests.runtime.toys import counting

RECOVERED = Incident("evaluation", Severity.RECOVERED, "")


def setup(episodes=5, seed=1, **table):
    """Return an evaluation and fresh weights."""
    config = resolve(**table)
    spec = describe(config)
    torch.manual_seed(1)
    return job_builder.make_evaluation(config, spec, episodes, seed, TRAINING_EPISODES), flatten(
        job_builder.make_network(config, spec)
    )


class Still:
    """A learner that acts 0."""

    def act(self, net, obs, carry, T, generator):
        """Ask the network, and do not listen."""
        return Act(torch.zeros(len(obs)).long(), net(obs[None], carry)[1] if carry else carry)


def spec_of(lengths, episodes, make_network=Weights):
    """Return an evaluation whose games last as long as told, in the order of their starts."""
    queue = iter(lengths)

    class Queued(type(counting(1))):
        def begin(self):
            self.LENGTH = next(queue)

    return EvaluationSpec(
        Still(),
        make_network,
        lambda n: GymEnvironments("toys", [Queued() for _ in range(n)]),
        episodes,
        1,
        1,
        TRAINING_EPISODES,
    )


@pytest.mark.parametrize(("episodes", "together"), [(1, 4), (3, 4), (4, 4), (5, 4), (11, 4), (20, 16)])
def test_every_game_that_was_started_counts_and_no_other(monkeypatch, episodes, together):
    """Of short and long games side by side, taking the first to end would take the short ones."""
    monkeypatch.setattr(evaluator, "MAX_TOGETHER", together)
    lengths = [50, 1, 2, 40] + [3, 30] * 300
    result = evaluate(spec_of(lengths, episodes), torch.zeros(3), T=7)
    assert sorted(result.lengths) == sorted(lengths[:episodes])
    assert result.scores == result.lengths
    assert result.T == 7


def test_the_mean_length_is_that_of_all_games():
    spec, theta = setup(400, env="tests.runtime.toys:Dice")
    assert np.mean(evaluate(spec, theta, 0).lengths) == pytest.approx(25.5, abs=2.5)  # of 1 … 50; 0.72 standard error


def test_the_same_seed_gives_the_same_games_and_another_or_another_time_does_not():
    spec, theta = setup(env="CartPole-v1")
    first = evaluate(spec, theta, 10)
    torch.rand(1)
    assert evaluate(spec, theta, 10) == first
    assert evaluate(spec, theta, 11).scores != first.scores
    assert evaluate(setup(seed=2, env="CartPole-v1")[0], theta, 10).scores != first.scores


def test_the_carry_is_empty_where_a_game_begins():
    spec = spec_of([3, 5, 7, 2, 4, 6, 3] * 9, 20, lambda: CountingNet(policy=False))
    evaluate(spec, torch.zeros(2), 0)  # the network insists


def spelt(algo, epsilon, theta=None):
    """Return the games' scores, their actions spelt in binary, for weights that say nothing."""
    spec, fresh = setup(40, env="tests.runtime.toys:Spelling", algo=algo, evaluation={"epsilon": epsilon})
    return evaluate(spec, torch.zeros_like(fresh) if theta is None else theta, 0).scores


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
    spec, theta = setup(algo=algo)
    theta[1] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(spec, theta, 0)


def test_an_evaluation_does_not_touch_the_weights():
    spec, theta = setup()
    before = theta.clone()
    evaluate(spec, theta, 0)
    assert torch.equal(theta, before)


def test_a_process_of_its_own_finds_the_same_and_is_replaced_if_it_dies_but_not_for_ever():
    before = children(os.getpid())
    spec, theta = setup(env="CartPole-v1")
    spec = replace(spec, restarts=1)
    subject = Evaluator(spec)
    try:
        for T in (10, 20, 10):
            subject.submit(theta.numpy(), T)
            assert result_of(subject) == evaluate(spec, theta, T)
        assert subject.poll(timeout=0) is None
        os.kill(subject.process.pid, signal.SIGKILL)
        subject.process.join()
        subject.submit(theta.numpy(), 30)
        died = RECOVERED._replace(message="the evaluation exited unexpectedly (exit code -9)")
        assert result_of(subject) == died
        assert result_of(subject) == evaluate(spec, theta, 30)
        for severity in (Severity.RECOVERED, Severity.FATAL):
            os.kill(subject.process.pid, signal.SIGKILL)
            subject.process.join()
            assert result_of(subject) == died._replace(severity=severity)
    finally:
        subject.close()
    assert children(os.getpid()) == before


@pytest.mark.faults
def test_a_process_that_hangs_is_replaced_and_one_that_is_slow_is_not(monkeypatch):
    spec, theta = setup(8, env="tests.runtime.toys:SlowExam")  # 4 s, 0.8 s a step
    subject = Evaluator(spec)
    try:
        subject.submit(theta.numpy(), 1)
        assert subject.poll(timeout=30) is None  # the first step: it has started
        monkeypatch.setattr(evaluator, "PATIENCE", 2.5 / spec.hang_seconds)
        assert isinstance(result_of(subject), Evaluated)
        os.kill(subject.process.pid, signal.SIGSTOP)
        subject.submit(theta.numpy(), 2)
        assert result_of(subject) == RECOVERED._replace(message="the evaluation hung: it made no step for 3 seconds")
    finally:
        subject.close()


def test_a_game_that_raises_is_played_again_but_not_for_ever(monkeypatch):
    monkeypatch.setattr(evaluator, "REPEATS", 1)
    spec, theta = setup(env="tests.toys:Crashing")
    subject = Evaluator(spec)
    try:
        subject.submit(theta.numpy(), 0)
        failures = [result_of(subject)]
        os.kill(subject.process.pid, signal.SIGKILL)  # which is counted apart
        died = result_of(subject)
        failures.append(result_of(subject))
    finally:
        subject.close()
    assert "exit code -9" in died.message
    assert [failure.is_fatal for failure in (failures[0], died, failures[1])] == [False, False, True]
    for failure in failures:
        assert failure.message == "the evaluation failed: RuntimeError: the floor gave way"
        assert "toys.py" in failure.traceback


def result_of(subject) -> Evaluated | Incident | None:
    end = time.monotonic() + 60
    while (result := subject.poll(timeout=1)) is None and time.monotonic() < end:
        pass
    return result
