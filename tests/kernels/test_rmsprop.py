"""The compiled RMSProp against torch's operations."""

import pytest
import torch

from asyncrl.networks.factory import build
from asyncrl.optim import RMSProp
from tests.kernels.setups import compiled, frames


@compiled
@pytest.mark.parametrize("size", [1, 15, 16, 1_000])
def test_rmsprop_equals_torch(size, plain):
    torch.manual_seed(size)
    rule = RMSProp(shared=True, alpha=0.99, eps=0.1)
    start = torch.randn(size), torch.rand(1, size)
    gradients = torch.randn(5, size)
    gradients[1:3, 16:] = -0.0  # lines without gradient
    gradients[3:][torch.rand(2, size) < 0.95] = 0.0  # lines with little gradient
    results = []
    for switch in (lambda: None, plain):
        switch()
        theta, state = (part.clone() for part in start)
        for grad in gradients:
            rule.apply(theta, grad, state, 0.01, 0)
        results.append(torch.cat([theta, state[0]]))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)
    assert not torch.equal(results[0][:size], start[0])


@compiled
def test_rmsprop_and_torso_in_float64_use_torch(plain):
    theta, grad = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="double"):  # from torch
        build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).double()(frames(2)[None], ())
    results = []
    for switch in (lambda: None, plain):
        switch()
        moved, state = theta.clone(), torch.zeros(1, 20, dtype=torch.float64)
        RMSProp(shared=True, alpha=0.99, eps=0.1).apply(moved, grad, state, 0.01, 0)
        results.append(moved)
    assert torch.equal(*results)
