"""From settings to a run's parts: which name means what, and frames turned into steps."""

import pytest
import torch

from asyncrl.config import ALGOS, build
from asyncrl.envs.base import Box, Discrete, Spec
from asyncrl.learners.a3c import A3C
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.heads import ActionValues, SeparateActorCritic, SharedActorCritic
from asyncrl.optim import Adam, Momentum, RMSProp
from asyncrl.rollout import Act, Stream
from asyncrl.runtime.evaluator import TRAINING_EPISODES
from asyncrl.training import job_builder, methods

ATARI = Spec((4, 84, 84), "uint8", Discrete(6), frames_per_step=4)
VECTOR = Spec((4,), "float32", Discrete(2), frames_per_step=1)
CONTINUOUS = Spec((3,), "float32", Box(1), frames_per_step=1)


def job(spec=ATARI, final=(), **settings):
    return job_builder.make_job(build({"network": "nips", **settings}), spec, final, session=0)


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("shared-rmsprop", RMSProp(shared=True, alpha=0.99, eps=0.1)), ("rmsprop", RMSProp(False, 0.99, 0.1)),
     ("momentum", Momentum(0.99)), ("adam", Adam(0.1))],
)  # fmt: skip
def test_optimizers_by_name(name, optimizer):
    assert methods.make_optimizer(build({"optimizer": {"name": name}})) == optimizer


@pytest.mark.parametrize(
    ("algo", "learner"), [*zip(ALGOS, [OneStepQ, OneStepSarsa, NStepQ, A3C, A3C], strict=True)]
)  # fmt: skip
def test_learners_by_name(algo, learner):
    assert type(job(algo=algo, final=(0.1,) * 16).learners[0]) is learner


def test_a_step_of_atari_is_four_frames():
    atari = job(algo="one-step-q", threads=1, final=(0.1,))
    assert atari.budget == 2_500_000
    assert atari.learners[0].target_period == 10_000
    assert atari.learners[0].exploration == EpsilonGreedy((0.1,), 1_000_000)
    vector = job(VECTOR, algo="one-step-q", threads=1, final=(0.1,))
    assert vector.budget == 10_000_000
    assert vector.learners[0].target_period == 40_000
    assert job_builder.steps(3, ATARI) == 1


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("spec", [ATARI, VECTOR, CONTINUOUS])
@pytest.mark.parametrize("gamma", [0.99, 0.5, 1.0])
def test_gamma_is_that_of_the_settings_for_one_step_of_any_environment(algo, spec, gamma):
    assert job(spec, algo=algo, threads=2, final=(0.1, 0.1), gamma=gamma).gamma == gamma


def test_a_rollout_of_atari_discounts_by_the_gamma_of_the_settings():
    settings = build({"env": "pong", "network": "nips", "gamma": 0.75, "t_max": 3})
    parts = job_builder.make_job(settings, ATARI, (0.1,) * settings.threads, session=0)
    games = parts.make_environments()
    stream = Stream(games, [1], parts.t_max, parts.gamma, (), look_ahead=False)
    rollouts = []

    def collect():
        rollout, _ = yield from stream.collect(lambda obs, carry: Act(torch.zeros(1, dtype=torch.int64), carry))
        rollouts.append(rollout)

    assert list(collect()) == ["act", "environment"] * 3
    games.close()
    assert rollouts[0].discount.tolist() == [[0.75]] * 3


def test_each_environment_of_each_worker_has_its_own_final_epsilon():
    learners = job(algo="n-step-q", threads=2, envs_per_thread=3, final=(1, 2, 3, 4, 5, 6)).learners
    assert [learner.exploration.final for learner in learners] == [(1, 2, 3), (4, 5, 6)]


def test_an_evaluation_has_a_small_epsilon_from_the_start():
    exam = job_builder.make_evaluation(
        build({"algo": "one-step-q"}), ATARI, episodes=3, seed=1, stream=TRAINING_EPISODES
    )
    assert exam.learner.exploration == EpsilonGreedy((0.01,), 0)
    assert exam.episodes == 3


def test_only_training_clips_rewards():
    config = build({"algo": "one-step-q"})
    assert (
        job_builder.make_evaluation(config, ATARI, episodes=1, seed=1, stream=TRAINING_EPISODES).make_environments.args[
            -1
        ]
        is False
    )
    assert job_builder.make_job(config, ATARI, (0.1,) * 16, session=0).make_environments.args[2] is True


def test_a2c_is_one_worker_with_all_environments():
    a3c, a2c = (job(algo=algo, threads=4, envs_per_thread=2, final=(0.1,) * 8) for algo in ("a3c", "a2c"))
    assert (a3c.workers, a2c.workers) == (4, 1)
    assert (a3c.make_environments.args[-1], a2c.make_environments.args[-1]) == (2, 8)
    assert a3c.torch_threads == 1


@pytest.mark.parametrize(
    ("spec", "algo", "network", "kind"),
    [(ATARI, "a3c", "nips", SharedActorCritic), (VECTOR, "a2c", "mlp", SharedActorCritic),
     (CONTINUOUS, "a3c", "mlp", SeparateActorCritic), (VECTOR, "one-step-q", "mlp", ActionValues)],
)  # fmt: skip
def test_networks_by_spaces(spec, algo, network, kind):
    assert isinstance(job_builder.make_network(build({"algo": algo, "network": network}), spec), kind)


def test_the_rate_is_annealed_over_the_run():
    annealed, constant = (job(frames=400, optimizer={"lr": 1e-3, "anneal": anneal}) for anneal in (True, False))
    assert [annealed.learning_rate(T) for T in (0, 50, 100, 101)] == pytest.approx([1e-3, 5e-4, 0, 0])
    assert constant.learning_rate(50) == 1e-3


@pytest.mark.parametrize(
    ("algo", "threads", "schedule"), [("a3c", 8, (8, 2, 1)), ("a2c", 8, (1, 16, 3)), ("a2c", 2, (1, 4, 2))]
)
def test_only_a2cs_worker_computes_with_many_threads_and_never_more_than_cores(monkeypatch, algo, threads, schedule):
    monkeypatch.setattr(job_builder, "cores", lambda: 3)
    assert job_builder.worker_layout(build({"algo": algo, "threads": threads, "envs_per_thread": 2})) == schedule


def test_weights_are_uniform_unless_a_run_says_orthogonal():
    def biases(**settings):
        net = job_builder.make_network(build({"network": "nips", **settings}), ATARI)
        return net.policy.logits.bias

    assert biases().any()
    assert not biases(initial_weights="orthogonal").any()
