"""What every learner promises besides its gradient."""

import dataclasses
import difflib
import inspect

import pytest
import torch
from torch import nn

from asyncrl.config import RunConfig
from asyncrl.envs.base import Discrete, Spec
from asyncrl.learners import one_step_q, one_step_sarsa
from asyncrl.learners.a3c import A3C
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.rollout import Rollout
from asyncrl.training import job_builder
from tests.learners import script as scripts

GREEDY = EpsilonGreedy((0.0,), 0)
Q_METHODS = [OneStepQ(GREEDY, 1), OneStepSarsa(GREEDY, 1), NStepQ(GREEDY, 1)]
LEARNERS = [*Q_METHODS, A3C(0.01, 0.5)]
every_learner = pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
every_q = pytest.mark.parametrize("learner", Q_METHODS, ids=lambda learner: type(learner).__name__)


def experience(learner, network="mlp-lstm"):
    """Return a network, another with θ⁻, and a rollout of 5 steps of 3 environments."""
    is_policy = isinstance(learner, A3C)
    net, target = (scripts.make(network, policy=is_policy, seed=seed) for seed in (1, 2))
    return net, target, scripts.collect(scripts.write(network, 5, 3, "running"), net, learner.looks_ahead)


def gradient(learner, net, target, rollout):
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(learner.loss(net, target, rollout).total, net.parameters())]
    )


class Table(nn.Module):
    """A network whose answer is looked up by the number that is observed."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, obs, carry, keep=None):
        return self.rows[obs.long().squeeze(-1)], carry


def walk(actions, rewards, discounts, next_action):
    """Return one environment's rollout through the states 0, 1, 2, …"""
    obs = torch.arange(len(actions) + 1.0).view(-1, 1, 1)
    each = [torch.tensor(x).unsqueeze(1) for x in (actions, rewards, discounts)]
    keep = torch.ones(len(obs), 1, dtype=torch.bool)
    return Rollout(obs, *each, keep, torch.tensor([next_action]), ())


Q = Table([[1.0, 2.0], [3.0, 5.0], [7.0, 4.0]])
Q_TARGET = Table([[0.0, 0.0], [10.0, 20.0], [40.0, 30.0]])


@pytest.mark.parametrize(
    ("learner", "targets"),
    [
        (OneStepQ(GREEDY, 1), (1 + 0.5 * 20, 2 + 0.5 * 40)),
        (OneStepSarsa(GREEDY, 1), (1 + 0.5 * 10, 2 + 0.5 * 30)),  # a′ is 0, then 1: never the best
        (NStepQ(GREEDY, 1), (1 + 0.5 * (2 + 0.5 * 40), 2 + 0.5 * 40)),
    ],
    ids=["q", "sarsa", "n-step"],
)
def test_targets_by_hand(learner, targets):
    rollout = walk([1, 0], [1.0, 2.0], [0.5, 0.5], next_action=1)  # Q is 2, then 3
    assert learner.loss(Q, Q_TARGET, rollout).total == (targets[0] - 2) ** 2 + (targets[1] - 3) ** 2
    over = walk([1, 0], [1.0, 2.0], [0.5, 0.0], next_action=1)
    last_of_n_step = targets[0] if not isinstance(learner, NStepQ) else 1 + 0.5 * 2
    assert learner.loss(Q, Q_TARGET, over).total == (last_of_n_step - 2) ** 2 + (2 - 3) ** 2


def test_sarsa_values_the_actions_that_are_taken_and_no_others():
    sarsa, (net, target, rollout) = OneStepSarsa(GREEDY, 1), experience(OneStepSarsa(GREEDY, 1))
    loss = sarsa.loss(net, target, rollout).total
    other = rollout._replace(next_action=(rollout.next_action + 1) % scripts.ACTIONS)
    assert sarsa.loss(net, target, other).total != loss
    torch.manual_seed(1)
    assert sarsa.loss(net, target, rollout).total == loss  # it draws none of its own
    q = OneStepQ(GREEDY, 1)
    assert q.loss(net, target, other).total == q.loss(net, target, rollout).total


@every_q
def test_the_target_network_gets_no_gradient(learner):
    net, target, rollout = experience(learner)
    learner.loss(net, target, rollout).total.backward()
    assert all(parameter.grad is None for parameter in target.parameters())
    assert all(parameter.grad.norm() > 0 for parameter in net.parameters())


def test_a3c_needs_no_target_network():
    learner = A3C(0.01, 0.5)
    net, _, rollout = experience(learner)
    assert learner.target_period is None
    assert learner.loss(net, None, rollout).total == learner.loss(net, net, rollout).total


@every_learner
def test_a_rollout_doubled_has_twice_the_gradient(learner):
    net, target, rollout = experience(learner)
    along = {name: getattr(rollout, name).repeat(1, 2, *[1] * (getattr(rollout, name).dim() - 2)) for name in
             ("obs", "action", "reward", "discount", "keep")}  # fmt: skip
    next_action = None if rollout.next_action is None else rollout.next_action.repeat(2)
    carry = tuple(part.repeat(2, 1) for part in rollout.carry)
    doubled = Rollout(**along, next_action=next_action, carry=carry)
    once, twice = (gradient(learner, net, target, r) for r in (rollout, doubled))
    assert (twice - 2 * once).norm() < 1e-5 * once.norm()


@every_learner
def test_a_learner_is_frozen_and_keeps_nothing(learner):
    net, target, rollout = experience(learner)
    before, copies = vars(learner).copy(), [part.clone() for part in rollout[:4]]
    first, second = (gradient(learner, net, target, rollout) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(part, copy) for part, copy in zip(rollout[:4], copies, strict=True))
    torch.manual_seed(3)
    with torch.no_grad():
        once = learner.act(net, rollout.obs[0], rollout.carry, 0, torch.default_generator)
        torch.manual_seed(3)
        again = learner.act(net, rollout.obs[0], rollout.carry, 0, torch.default_generator)
    assert torch.equal(once.action, again.action)
    assert vars(learner) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(learner, next(iter(before)), None)
    assert type(learner).__mro__[1:] == (object,)


@every_learner
def test_acting_gives_an_action_and_a_carry_for_each_environment(learner):
    net, _, rollout = experience(learner)
    act = learner.act(net, rollout.obs[0], rollout.carry, 0, torch.default_generator)
    assert act.action.shape == (3,)
    assert act.action.dtype == torch.int64
    assert [part.shape for part in act.carry] == [part.shape for part in rollout.carry]
    assert (act.epsilon is None) == isinstance(learner, A3C)


@every_learner
def test_statistics_are_numbers_without_a_gradient(learner):
    net, target, rollout = experience(learner)
    statistics = learner.loss(net, target, rollout).statistics
    assert statistics
    assert all(value.dim() == 0 and not value.requires_grad for value in statistics.values())


@every_q
def test_value_methods_are_greedy_but_for_epsilon(learner):
    net, _, rollout = experience(learner)
    q = net(rollout.obs[:1], rollout.carry)[0][0]
    assert (
        learner.act(net, rollout.obs[0], rollout.carry, 0, torch.default_generator).action.tolist()
        == q.argmax(-1).tolist()
    )


@every_q
def test_epsilon_is_annealed_over_global_steps(learner):
    annealed = dataclasses.replace(learner, exploration=EpsilonGreedy((0.1, 0.01, 0.5), 100))
    net, _, rollout = experience(learner)
    at = {
        T: annealed.act(net, rollout.obs[0], rollout.carry, T, torch.default_generator).epsilon.tolist()
        for T in (0, 50, 100, 1000)
    }
    assert at[0] == [1, 1, 1]
    assert at[50] == pytest.approx([0.55, 0.505, 0.75])
    assert at[100] == at[1000] == pytest.approx([0.1, 0.01, 0.5])


@pytest.mark.parametrize("continuous", [False, True], ids=["softmax", "gaussian"])
def test_a3c_samples_its_policy(continuous):
    net, learner = scripts.make("mlp", policy=True, continuous=continuous), A3C(0.01, 0.5)
    obs = torch.tensor([0.5, -1.0, 2.0, 0.1]).expand(20_000, 4)
    torch.manual_seed(1)
    with torch.no_grad():
        action = learner.act(net, obs, (), 0, torch.default_generator).action
        policy = net(obs[None, :1], ())[0].policy
    if continuous:
        torch.testing.assert_close(action.mean(0), policy.mean[0, 0], rtol=0, atol=0.03)
        torch.testing.assert_close(action.var(0), policy.variance[0, 0].expand(3), rtol=0.05, atol=0)
    else:
        shares = action.bincount(minlength=3) / len(action)
        torch.testing.assert_close(shares, policy.log_pi[0, 0].exp(), rtol=0, atol=0.02)


def test_a2c_is_a3cs_learner():
    spec = Spec((4,), "float32", Discrete(2), 1)
    a3c, a2c = (job_builder.make_learner(RunConfig(algo=algo), spec, (), 0) for algo in ("a3c", "a2c"))
    assert a3c == a2c == A3C(entropy=0.01, value_weight=0.5)


def test_q_and_sarsa_differ_by_the_papers_one_sentence():
    sources = (inspect.getsource(module).splitlines() for module in (one_step_q, one_step_sarsa))
    changed = [line for line in difflib.ndiff(*sources) if line[0] in "+-"]
    assert len(changed) <= 15
    assert all("class " in line or '"""' in line or "next" in line or "looks_ahead" in line for line in changed)
