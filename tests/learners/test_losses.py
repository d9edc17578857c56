"""The losses' closed forms against autograd through the formulas of the paper."""

import pytest
import torch

from asyncrl.learners.losses import actor_critic, squared_error
from asyncrl.networks.distributions import Gaussian, Softmax
from asyncrl.networks.heads import PolicyValue

DTYPES = [torch.float32, torch.float64]
SHAPES = [(1, 1), (5, 1), (5, 3)]  # T, B
BETA, WEIGHT = 0.3, 0.7


def numbers(*shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=dtype, generator=generator)


def gradients(total, inputs, scale):
    return torch.autograd.grad(scale * total, inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, -2.5])
def test_squared_error_equals_autograd(dtype, shape, scale):
    q = numbers(*shape, 4, dtype=dtype).requires_grad_()
    action = torch.randint(4, shape)
    target = numbers(*shape, dtype=dtype, seed=1)
    loss = squared_error(q, action, target)
    error = target - q.gather(-1, action[..., None]).squeeze(-1)
    torch.testing.assert_close(loss.total, (error**2).sum())
    torch.testing.assert_close(gradients(loss.total, [q], scale), gradients((error**2).sum(), [q], scale))
    torch.testing.assert_close(loss.statistics["td_error"], error.detach().abs().mean())
    torch.testing.assert_close(loss.statistics["q"], q.detach().mean())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, -2.5])
@pytest.mark.parametrize("is_discrete", [True, False])
def test_actor_critic_equals_autograd(dtype, shape, scale, is_discrete):
    outputs = numbers(*shape, 4, dtype=dtype).requires_grad_()
    V = numbers(*shape, dtype=dtype, seed=1).requires_grad_()
    R = numbers(*shape, dtype=dtype, seed=2)
    if is_discrete:
        policy, action = Softmax(outputs.log_softmax(-1)), torch.randint(4, shape)
    else:
        policy, action = Gaussian(outputs[..., :3], outputs[..., 3:].exp()), numbers(*shape, 3, dtype=dtype, seed=3)
    loss = actor_critic(PolicyValue(policy, V), action, R, BETA, WEIGHT)
    advantage = (R - V).detach()
    objective = policy.log_prob(action) * advantage + BETA * policy.entropy()
    total = (WEIGHT * 0.5 * (R - V) ** 2 - objective).sum()
    torch.testing.assert_close(loss.total, total)
    inputs = [outputs, V]
    mine = torch.autograd.grad(scale * loss.total, inputs, retain_graph=True)
    torch.testing.assert_close(mine, gradients(total, inputs, scale))
    torch.testing.assert_close(loss.statistics["entropy"], policy.entropy().detach().mean())
    torch.testing.assert_close(loss.statistics["value"], V.detach().mean())


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_losses_of_numbers_that_are_not_finite_warn_of_nothing(bad, recwarn):
    q = torch.full((2, 1, 3), bad).requires_grad_()
    action, target = torch.zeros(2, 1, dtype=torch.int64), torch.ones(2, 1)
    losses = [squared_error(q, action, target)]
    losses.append(actor_critic(PolicyValue(Softmax(q.log_softmax(-1)), q[..., 0]), action, target, BETA, WEIGHT))
    for loss in losses:
        loss.total.backward()
        assert not loss.total.isfinite()
    assert not q.grad.isfinite().all()
    assert not recwarn.list
