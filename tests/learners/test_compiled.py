"""The learners on compiled networks against the same learners on torch's layers."""

import pytest
import torch
from torch import nn

from asyncrl.learners.a3c import A3C
from asyncrl.learners.compiled import accelerate
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.factory import build
from asyncrl.networks.flat import bind_gradients
from asyncrl.networks.heads import ActionValues, SharedActorCritic, SoftmaxHead
from asyncrl.rollout import Rollout
from tests.kernels.setups import compiled

N = 5  # actions
EXPLORATION = EpsilonGreedy((0.2,), 0)
LEARNERS = [A3C(0.03, 0.7), OneStepQ(EXPLORATION, 1), OneStepSarsa(EXPLORATION, 1), NStepQ(EXPLORATION, 1)]
SHAPES = {"mlp": (3,), "wide": (37,), **{f"minatar-{planes}": (planes, 10, 10) for planes in (4, 6, 7, 10)}}
SIZES = [(1, 1), (5, 1), (5, 3), (20, 8)]  # T, B
every_learner = pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
every_shape = pytest.mark.parametrize("name", SHAPES)


def networks(learner, name):
    """Return a network, and one with θ⁻."""
    kind = "minatar" if len(SHAPES[name]) == 3 else "mlp"
    is_policy = isinstance(learner, A3C)
    options = {"actions": N, "continuous": False, "policy": is_policy, "obs_dtype": "bool"}
    return [build(kind, SHAPES[name], **options) for _ in range(2)]


def states(name, *size):
    return torch.rand(*size, *SHAPES[name]) < 0.1 if len(SHAPES[name]) == 3 else torch.randn(*size, *SHAPES[name])


def rollout(name, T, B):
    """Return a rollout in which a quarter of the steps end an episode."""
    keep = torch.rand(T + 1, B) < 0.75
    return Rollout(
        obs=states(name, T + 1, B),
        action=torch.randint(N, (T, B)),
        reward=torch.randn(T, B),
        discount=0.9 * keep[1:],
        keep=keep,
        next_action=torch.randint(N, (B,)),
        carry=(),
    )


def gradient(learner, net, target, experience, grad):
    grad.zero_()
    loss = learner.loss(net, target, experience)
    loss.backward()
    return loss.value, {name: float(value) for name, value in loss.statistics.items()}, grad.clone()


@compiled
@every_learner
@every_shape
@pytest.mark.parametrize("size", SIZES)
def test_compiled_loss_has_the_value_and_the_gradient_of_torch(learner, name, size):
    torch.manual_seed(sum(size))
    net, target = networks(learner, name)
    grad = bind_gradients(net)
    fast = accelerate(learner, net, target, (size[0] + 1) * size[1])
    assert fast is not learner
    experience = rollout(name, *size)
    mine = gradient(fast, net, target, experience, grad)
    with torch.no_grad():
        target.requires_grad_(False)
    theirs = gradient(learner, net, target, experience, grad)
    assert mine[0] == pytest.approx(theirs[0], rel=1e-4, abs=1e-4)
    assert mine[1] == pytest.approx(theirs[1], rel=1e-4, abs=1e-5)
    scale = float(theirs[2].abs().max())
    torch.testing.assert_close(mine[2] / scale, theirs[2] / scale, rtol=0, atol=5e-6)
    # backward adds
    torch.testing.assert_close(grad, theirs[2])
    fast.loss(net, target, experience).backward()
    torch.testing.assert_close(grad / scale, 2 * theirs[2] / scale, rtol=0, atol=1e-5)


@compiled
@every_learner
@every_shape
@pytest.mark.parametrize("batch", [1, 8])
def test_compiled_actions_are_those_of_torch(learner, name, batch):
    torch.manual_seed(0)
    net, target = networks(learner, name)
    # far from a uniform policy, so that actions depend on the weights
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 3
    fast = accelerate(learner, net, target, 2 * batch)
    chosen = []
    for each in (fast, learner):
        generator = torch.Generator().manual_seed(1)
        torch.manual_seed(2)
        with torch.no_grad():
            decisions = [each.act(net, states(name, batch), (), 10, generator) for _ in range(40)]
        chosen.append(torch.cat([decision.action for decision in decisions]))
        assert chosen[-1].dtype == torch.int64
    assert torch.equal(*chosen)
    assert len(set(chosen[0].tolist())) > 1


@compiled
def test_compiled_policies_are_sampled_with_their_probabilities():
    learner = A3C(0.0, 0.5)
    net, target = networks(learner, "mlp")
    fast = accelerate(learner, net, target, 20_000)
    obs = states("mlp", 1).expand(20_000, 3).contiguous()
    with torch.no_grad():
        net.policy.logits.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5]))
        actions = fast.act(net, obs, (), 0, torch.Generator().manual_seed(3)).action
        expected = net(obs[:1, None], ())[0].policy.log_pi.exp().flatten()
    found = torch.bincount(actions, minlength=N) / len(actions)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.015)


@compiled
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@every_learner
def test_compiled_loss_of_a_weight_that_is_not_finite_is_not_finite(learner, bad):
    net, target = networks(learner, "mlp")
    grad = bind_gradients(net)
    head = net.policy.logits if isinstance(learner, A3C) else net.q
    with torch.no_grad():
        head.bias[:] = bad
    total, _, found = gradient(accelerate(learner, net, target, 12), net, target, rollout("mlp", 5, 2), grad)
    assert not torch.tensor(total).isfinite()
    assert not found.isfinite().all()


@every_learner
@pytest.mark.parametrize("network", ["mlp-lstm", "nips"])
def test_other_networks_are_not_compiled(learner, network):
    shape = (4, 84, 84) if network == "nips" else (3,)
    net = build(network, shape, actions=N, continuous=False, policy=isinstance(learner, A3C))
    assert accelerate(learner, net, net, 6) is learner
    assert accelerate(learner, *(each.double() for each in networks(learner, "mlp")), 6) is learner


class Own(nn.Module):
    """A network of a user that has a state of its own."""

    features = 4

    def initial_carry(self, batch):
        return (torch.zeros(batch, 4),)


@every_learner
def test_a_network_of_a_user_is_not_compiled(learner):
    is_policy = isinstance(learner, A3C)
    net = SharedActorCritic(Own(), SoftmaxHead(4, N)) if is_policy else ActionValues(Own(), N)
    assert accelerate(learner, net, net, 6) is learner


@every_learner
def test_a_learner_of_a_user_is_not_compiled(learner):
    own = type("Own", (type(learner),), {})(**vars(learner))
    assert accelerate(own, *networks(learner, "mlp"), 6) is own
