"""``mlp-separate``: actor and critic share nothing, for discrete actions too."""

import pytest
import torch

from asyncrl.errors import InputError
from asyncrl.networks.distributions import Softmax
from asyncrl.networks.factory import build, fit
from asyncrl.training import job_builder


def test_actor_and_critic_share_nothing_for_discrete_actions():
    net = build(fit("mlp-separate", (11,)), (11,), actions=6, continuous=False, policy=True)
    outputs, _ = net(torch.randn(2, 3, 11), ())
    assert isinstance(outputs.policy, Softmax)
    assert sum(parameter.numel() for parameter in net.parameters()) == 2 * (11 + 1) * 200 + (200 + 1) * (6 + 1)
    of_value = torch.autograd.grad(outputs.value.sum(), net.parameters(), retain_graph=True, allow_unused=True)
    of_policy = torch.autograd.grad(outputs.policy.log_pi.sum(), net.parameters(), allow_unused=True)
    assert not any(a is not None and b is not None for a, b in zip(of_value, of_policy, strict=True))


def test_resolve_with_a_value_method_is_refused():
    with pytest.raises(InputError, match="'mlp-separate' has an actor and a critic: use it with a3c or a2c"):
        job_builder.resolve({"env": "CartPole-v1", "algo": "n-step-q", "network": "mlp-separate"})
    config, _ = job_builder.resolve({"env": "CartPole-v1", "algo": "a2c", "network": "mlp-separate"})
    assert config.network == "mlp-separate"


def test_fit_for_pictures_is_refused():
    with pytest.raises(InputError, match="'mlp-separate' is for vectors"):
        fit("mlp-separate", (4, 84, 84))
