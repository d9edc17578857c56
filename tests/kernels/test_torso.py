"""The compiled torsos and their gradients against torch's layers."""

import pytest
import torch

from asyncrl.kernels.torso import ARCHITECTURES
from asyncrl.networks.factory import build
from tests.kernels.setups import compiled, frames, gradients, states, torso_of


@compiled
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_torso_features_and_gradients_equal_torch(name, count, expanded, threads, plain):
    torch.manual_seed(count)
    torch.set_num_threads(threads)
    net = torso_of(name)
    assert net.kernels is not None
    obs = states(name, count)
    weight = torch.randn(1, net.features).expand(count, -1) if expanded else torch.randn(count, net.features)
    results = []
    for switch in (lambda: None, plain):
        switch()
        features = net(obs)
        with torch.no_grad():
            torch.testing.assert_close(net(obs), features)
        results.append([features, *torch.autograd.grad(features, list(net.parameters()), weight)])
    for mine, theirs in zip(*results, strict=True):
        scale = float(theirs.detach().abs().max())
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=5e-6)
    assert 0 < (results[0][0] == 0).float().mean() < 1  # some units are active, others not


@compiled
@pytest.mark.parametrize("channels", [0, 5, 32])
def test_torso_with_zero_channels_and_black_frames_equals_torch(channels, plain):
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    with torch.no_grad():
        for layer in (0, 2):
            net.layers[layer].bias.fill_(-0.01)  # no unit is active for black frames
        net.layers[2].bias[:channels] = -100.0
    obs = frames(3)
    obs[-1] = 0
    mine = gradients(net, obs, torch.ones(3, 256)), net(obs)
    plain()
    torch.testing.assert_close(mine, (gradients(net, obs, torch.ones(3, 256)), net(obs)))


@compiled
def test_torso_with_a_nan_convolution_weight_returns_nan_as_torch(plain):
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    with torch.no_grad():
        net.layers[0].weight[3, 2, 1, 0] = torch.nan
    found = []
    for switch in (lambda: None, plain):
        switch()
        features = net(frames(2))
        gradients = torch.autograd.grad(features.sum(), list(net.parameters()))
        found.append([part.isnan() for part in (features, *gradients)])
    assert all(map(torch.equal, *found))
    assert found[0][0].any()
    assert found[0][3].any()


@compiled
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("owned", [False, True])
def test_torso_backward_adds_to_existing_gradients(owned, threads):
    torch.set_num_threads(threads)
    net = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    weight = torch.randn(5, 256)
    once = gradients(net, frames(5), weight)
    for parameter in net.parameters() if owned else ():
        parameter.grad = torch.zeros_like(parameter)
    places = [parameter.grad for parameter in net.parameters()]
    for _ in range(2):
        (net(frames(5)) * weight).sum().backward()
    for parameter, gradient, place in zip(net.parameters(), once, places, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient, rtol=1e-4, atol=1e-4)
        assert not owned or parameter.grad is place


def test_torso_for_another_shape_uses_torch():
    net = build("nips", (3, 64, 64), actions=6, continuous=False, policy=False).body.torso
    assert net.kernels is None
    obs = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(net(obs), net.layers(obs.float() / 255))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_torso_for_states_of_another_type_uses_torch(dtype):
    net = torso_of("minatar_4")
    obs = torch.randint(2, (2, 4, 10, 10)).to(dtype)
    scale = 255 if dtype == torch.uint8 else 1
    torch.testing.assert_close(net(obs), net.layers(obs.float() / scale))
