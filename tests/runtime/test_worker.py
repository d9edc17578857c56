"""The actor-learner's loop, in this process: what it does, in which order, and by whose clock."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from gymnasium.wrappers import TimeLimit
from torch import nn

from asyncrl.config import ALGOS
from asyncrl.envs.gym import GymEnvironments
from asyncrl.events import EpisodeEnd, Interval, WorkerState
from asyncrl.learners.a3c import A3C
from asyncrl.learners.base import Loss
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.distributions import Softmax
from asyncrl.networks.flat import bind
from asyncrl.networks.heads import PolicyValue
from asyncrl.optim import LearningRate, RMSProp
from asyncrl.rollout import Act
from asyncrl.runtime import process, worker
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from tests.runtime.setups import actor, prepare, share, theta, write_theta
from tests.runtime.toys import counting


class Weights(nn.Module):
    """Three weights and no more."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))

    def initial_carry(self, batch):
        """Nothing is carried."""
        return ()


class Stub:
    """A learner that does as it is told: acts 0, and loses ``slope(rollout) · Σw``."""

    looks_ahead = False

    def __init__(self, slope=lambda rollout: 1.0, snapshots=True, target_period=None, watch=lambda net, T: None):
        self.slope, self.snapshots, self.target_period, self.watch = slope, snapshots, target_period, watch

    def act(self, net, obs, carry, T, generator):
        """Show the network to who watches."""
        self.watch(net, T)
        return Act(torch.zeros(len(obs)).long(), carry)

    def loss(self, net, target, rollout):
        """Ask for the slope."""
        self.seen = target
        total = self.slope(rollout) * net.w.sum()
        return Loss(total, {"sum": total.detach()})


class Plain:
    """Gradient descent that notes what it is given."""

    slots, shared = 1, True

    def __init__(self):
        self.grads, self.rates = [], []

    def apply(self, theta, grad, state, lr, updates):
        """Note, and descend."""
        self.grads.append(grad.tolist())
        self.rates.append(lr)
        theta.sub_(grad)


def build(learner, *lengths, workers=1, **changes):
    """Return worker 0 with a stub learner and environments whose episodes have the given lengths."""
    settings = {
        "learning_rate": LearningRate(1.0, 100),
        "clip": None,
        "t_max": 4,
        "gamma": 0.9,
        "budget": 100,
        "seed": 1,
    } | changes
    job = Job(
        learners=(learner,) * workers,
        make_network=Weights,
        make_environments=lambda: GymEnvironments("toys", [counting(length) for length in lengths or (1_000,)]),
        optimizer=Plain(),
        **settings,
    )
    return actor(job, share(job))


@pytest.mark.parametrize("slopes", [(2.0, 2.0, 2.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_four_updates_apply_their_own_four_gradients(slopes):
    left = list(slopes)
    subject = build(Stub(lambda rollout: left.pop(0)))
    for _ in slopes:
        subject.update()
    assert subject.job.optimizer.grads == [[slope] * 3 for slope in slopes]
    assert subject.parameters.theta.tolist() == [-sum(slopes)] * 3


def test_the_gradients_of_a_real_network_stay_views_of_the_vector_that_is_applied():
    subject = actor(*prepare(algo="a3c"))
    for _ in range(3):
        subject.update()
        grad = subject.actor.grad
        parts = [parameter.grad for parameter in subject.actor.net.parameters()]
        assert torch.equal(torch.cat([part.flatten() for part in parts]), grad)
        assert {part.untyped_storage().data_ptr() for part in parts} == {grad.untyped_storage().data_ptr()}
        assert grad.norm() > 0


def test_an_update_takes_its_steps_in_the_papers_order(monkeypatch):
    tape = []

    def record(place, name):
        original = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *args: (tape.append(name), original(*args))[1])

    def slope(rollout):
        tape.append("loss")
        return 1.0

    subject = build(Stub(slope, watch=lambda net, T: tape.append("act")), 3)
    subject.actor.net.w.register_hook(lambda grad: tape.append("backward"))
    record(subject.environments, "step")
    record(worker, "clip_")
    for name in ("pull", "advance", "apply", "sync_target"):
        record(SharedParameters, name)
    subject.update()
    assert tape == [
        "pull",
        *["act", "step"] * 3,
        "loss",
        "backward",
        "advance",
        "clip_",
        "apply",
        "sync_target",
    ]


@pytest.mark.parametrize("snapshots", [True, False])
def test_a_snapshot_is_kept_for_a_rollout_and_algorithm_1_acts_on_the_latest_weights(snapshots):
    seen = []

    def watch(net, T):
        seen.append(float(net.w[0]))
        write_theta(subject.parameters, theta(subject.parameters) + 1)  # another worker's update

    subject = build(Stub(lambda rollout: 0.0, snapshots, watch=watch))
    for _ in range(2):
        subject.update()
    assert seen == ([0, 0, 0, 0, 4, 4, 4, 4] if snapshots else [0, 1, 2, 3, 4, 5, 6, 7])


def test_schedules_read_the_steps_of_all_workers():
    clocks = []
    subject = build(Stub(watch=lambda net, T: clocks.append(T)), workers=3)
    subject.parameters.advance(2, 40)
    subject.update()
    subject.parameters.advance(1, 6)
    subject.update()
    assert clocks == [40] * 4 + [50] * 4
    assert subject.job.optimizer.rates == pytest.approx([0.6, 0.5])


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q"])
def test_epsilon_is_annealed_over_the_steps_of_all_workers(algo):
    exploration = {"final": [0.1], "probability": [1.0], "anneal_frames": 100}
    subject = actor(*prepare(algo=algo, threads=2, t_max=50, exploration=exploration))
    subject.parameters.advance(1, 50)
    subject.update()
    subject.report()
    (first, *_), subject.pipe.sent = subject.pipe.events(EpisodeEnd), []
    subject.parameters.advance(1, 1_000)
    for _ in range(10):
        subject.update()
    subject.report()
    assert first.epsilon == pytest.approx(0.55)
    assert subject.pipe.events(EpisodeEnd)[-1].epsilon == pytest.approx(0.1)


def test_the_target_is_copied_where_the_steps_of_all_cross_a_multiple_however_far_they_jump():
    subject = build(Stub(target_period=10), workers=2)  # steps by 4
    copied = []
    for others in (0, 0, 0, 25, 1, 0, 4):
        subject.parameters.advance(1, others)
        before = subject.parameters.tensors()["target"]
        subject.update()
        copied.append(not torch.equal(subject.parameters.tensors()["target"], before))
    assert subject.parameters.T == 58  # 4, 8, 12, 41 (from 37), 46, 50, 58
    assert copied == [False, False, True, True, False, True, False]


def test_the_target_is_copied_from_the_shared_weights_with_all_that_others_wrote():
    def slope(rollout):
        write_theta(subject.parameters, theta(subject.parameters) + 100)  # another worker's, after the snapshot
        return 1.0

    subject = build(Stub(slope, target_period=1))
    subject.update()
    tensors = subject.parameters.tensors()
    assert tensors["theta"].tolist() == tensors["target"].tolist() == [99] * 3
    assert subject.actor.learner.seen.w.tolist() == [99] * 3  # the loss is given the network with θ⁻
    assert subject.actor.net.w.tolist() == [0] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_skipped_and_counted(bad, clip):
    slopes = [1.0, bad, 1.0, 1.0]
    subject = build(Stub(lambda rollout: slopes.pop(0)), clip=clip)
    moved = []
    for _ in range(4):
        before = theta(subject.parameters)
        subject.update()
        moved.append(not torch.equal(theta(subject.parameters), before))
    subject.report()
    assert moved == [True, False, True, True]
    (report,) = subject.pipe.events(Interval)
    assert (report.steps, report.updates, report.skipped) == (16, 3, 1)
    assert all(math.isfinite(value) for value in report.sums.values())
    assert subject.parameters.updates == 3
    assert subject.parameters.T == 16


def test_gradients_that_are_never_finite_again_end_the_run(monkeypatch):
    monkeypatch.setattr(process, "MOST_SKIPPED", 10)
    slopes = [math.nan] * 9 + [1.0] + [math.nan] * 10
    subject = build(Stub(lambda rollout: slopes.pop(0)), budget=10**6)
    with pytest.raises(FloatingPointError, match="10 updates in a row"):
        subject.run()
    assert slopes == []


@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@pytest.mark.parametrize("algo", ALGOS)
def test_rewards_that_are_not_numbers_leave_the_weights_finite(faults, algo, network):
    fault = "a reward that is NaN"
    settings = {"env": "tests.toys:NotANumber", "network": network, "t_max": 5, "target_frames": 20}
    subject = actor(*prepare(algo=algo, **settings))
    for _ in range(40):
        subject.update()
    skipped = subject.reporter.skipped
    faults.inject(fault, skipped)
    assert 5 <= skipped <= 30
    assert subject.parameters.updates == 40 - skipped
    assert all(tensor.isfinite().all() for tensor in subject.parameters.tensors().values())
    faults.survive(fault, skipped)


def test_what_the_parent_is_told_adds_up():
    subject = build(Stub(), 3, 6)
    for _ in range(6):
        subject.update()
    subject.report()
    subject.update()
    subject.report()
    games, reports = subject.pipe.events(EpisodeEnd), subject.pipe.events(Interval)
    assert sum(report.steps for report in reports) == subject.parameters.T == 2 * (4 + 2) * 3 + 2 * 4
    assert [report.updates for report in reports] == [6, 1]
    assert [report.T for report in reports] == [36, 44]
    assert [(game.score, game.length, game.T) for game in games[:3]] == [(3, 3, 8), (3, 3, 12), (6, 6, 12)]
    assert games[0].epsilon is None
    assert reports[0].sums["policy_lag"] == 0


def test_lag_is_what_others_wrote_since_the_snapshot():
    def slope(rollout):
        for _ in range(3):
            subject.parameters.apply(1, torch.zeros(3), 0)
        return 1.0

    subject = build(Stub(slope), workers=2)
    subject.update()
    assert subject.reporter.sums["policy_lag"] == 3


def test_a_worker_runs_to_the_budget_of_all_and_sends_its_state():
    subject = build(Stub(), workers=2, budget=50)
    subject.parameters.advance(1, 30)
    subject.run()
    assert subject.parameters.T == 50
    assert isinstance(subject.pipe.sent[-1], WorkerState)
    assert sum(report.steps for report in subject.pipe.events(Interval)) == 20


def test_a_worker_that_is_told_to_stop_does_at_its_next_rollout():
    subject = build(Stub(lambda rollout: subject.control.stop() or 1.0))
    subject.run()
    assert subject.parameters.T == 4
    assert isinstance(subject.pipe.sent[-1], WorkerState)


def actions_of(worker=0, session=0, seed=1):
    """Return the first actions of a worker of two, as their games' scores spell them."""
    subject = actor(*prepare(session, env="tests.runtime.toys:Spelling", threads=2, seed=seed, t_max=16), worker)
    for _ in range(3):
        subject.update()
    subject.report()
    return [game.score for game in subject.pipe.events(EpisodeEnd)]


def test_workers_sessions_and_seeds_draw_different_actions_and_the_same_ones_the_same():
    assert actions_of() == actions_of()
    others = [actions_of(worker=1), actions_of(session=1), actions_of(seed=2), actions_of(worker=1, session=1)]
    assert len({tuple(scores) for scores in [actions_of(), *others]}) == 5


def test_workers_play_different_games():
    first = [actor(*prepare(env="CartPole-v1", threads=2), worker).actor.stream.current for worker in (0, 1)]
    assert not torch.equal(*first)


def test_an_environment_that_draws_from_torch_while_it_is_made_is_seeded_by_run_and_worker():
    job, parameters = prepare(threads=2)
    draws = []

    def make_environments():
        draws.append(float(torch.rand(())))
        return job.make_environments()

    for seed, which in [(1, 0), (1, 0), (1, 1), (2, 0)]:
        actor(replace(job, make_environments=make_environments, seed=seed), parameters, which)
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def run(algo, network, seed, env):
    """Return all that one thread leaves: its memory and its games."""
    subject = actor(*prepare(algo=algo, network=network, seed=seed, env=env, frames=150, target_frames=50))
    subject.run()
    return list(subject.parameters.tensors().values()), subject.pipe.events(EpisodeEnd)


@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@pytest.mark.parametrize(("algo", "env"), [*((algo, "CartPole-v1") for algo in ALGOS), ("a3c", "tests.toys:Target")])
def test_one_thread_repeats_bit_for_bit_and_another_seed_does_not(algo, env, network):
    (tensors, games), (again, same_games), (others, other_games) = (run(algo, network, seed, env) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(tensors, again, strict=True))
    assert games == same_games
    assert len(games) >= 3
    assert not torch.equal(tensors[0], others[0])
    assert games != other_games


def test_random_numbers_go_on_where_they_stopped():
    job, shared = prepare(algo="one-step-q", env="CartPole-v1")
    subject = actor(job, shared)
    subject.update()
    subject.send_state()
    expected = torch.rand(5, generator=subject.actor.generator)
    (said,) = subject.pipe.events(WorkerState)
    later = actor(job, shared, saved=said).actor.generator
    assert torch.equal(torch.rand(5, generator=later), expected)
    assert not torch.equal(torch.rand(5, generator=later), expected)


class CountingNet(nn.Module):
    """Counts what it has seen since its carry was empty, and insists that the environment has counted the same."""

    def __init__(self, policy):
        super().__init__()
        self.policy, self.weights, self.calls = policy, nn.Parameter(torch.zeros(2)), 0

    def initial_carry(self, batch):
        """Begin at 0."""
        return (torch.zeros(batch, 1),)

    def decide(self, obs, carry):
        """Return the policy alone."""
        (policy, _), carry = self(obs, carry)
        return policy, carry

    def forward(self, obs, carry, keep=None):
        """Compare, and count on."""
        (count,) = carry
        for t, seen in enumerate(obs):
            count = count if keep is None else count * keep[t, :, None]
            assert torch.equal(count, seen), f"after {t} of {len(obs)} steps"
            count = count + 1
        self.calls += 1
        values = self.weights.expand(*obs.shape[:2], 2)  # [T, B, 2]
        return (PolicyValue(Softmax(F.log_softmax(values, -1)), values[..., 0]) if self.policy else values), (count,)


GREEDY = EpsilonGreedy((0.5,), 0)
LEARNERS = pytest.mark.parametrize(
    "learner",
    [OneStepQ(GREEDY, 7), OneStepSarsa(GREEDY, 7), NStepQ(GREEDY, 7), A3C(0.01, 0.5)],
    ids=lambda one: type(one).__name__,
)


@LEARNERS
@pytest.mark.parametrize(
    "envs",
    [lambda: [counting(7)], lambda: [TimeLimit(counting(99), 7)], lambda: [counting(3), counting(5), counting(7)],
     lambda: [counting(11), TimeLimit(counting(99), 9), counting(100)]],
    ids=["terminal", "truncated", "terminals", "both"],
)  # fmt: skip
def test_acting_learning_and_bootstrapping_count_the_steps_alike(learner, envs):
    job = Job(
        learners=(learner,),
        make_network=lambda: CountingNet(isinstance(learner, A3C)),
        make_environments=lambda: GymEnvironments("toys", envs()),
        optimizer=RMSProp(shared=True, alpha=0.99, eps=0.1),
        learning_rate=LearningRate(0.01), clip=None, t_max=5, gamma=0.9, budget=10**9, seed=1,
    )  # fmt: skip
    subject = actor(job, share(job))
    for _ in range(20):
        subject.update()
    assert subject.actor.net.calls > 60


def value_of(algo, env):
    """Return what a learner thinks of the only state there is, in which every step gains 1 and γ is 0.9."""
    adam = {"name": "adam", "lr": 0.01, "eps": 1e-8}
    exploration = {"final": [0.5], "probability": [1.0], "anneal_frames": 0}
    table = {"algo": algo, "env": env, "gamma": 0.9, "frames": 1_250, "target_frames": 10}
    subject = actor(*prepare(**table, optimizer=adam, exploration=exploration))
    subject.run()
    subject.actor.net.load_state_dict(bind(subject.job.make_network(), theta(subject.parameters)).state_dict())
    with torch.no_grad():
        out, _ = subject.actor.net(torch.ones(1, 1, 1), ())
    return float(out.value if isinstance(out, PolicyValue) else out.max())


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q", "a3c"])
def test_where_only_time_runs_out_the_value_is_that_of_going_on_for_ever(algo):
    assert value_of(algo, "tests.toys:endless") == pytest.approx(10, abs=0.1)  # 1 / (1 − γ)


@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q", "a3c"])
def test_and_it_is_not_if_a_time_limit_is_taken_for_an_end(algo):
    assert value_of(algo, "tests.runtime.toys:mismarked") < 9.7
