"""Networks by name: their sizes, computed by hand, and their weights."""

import math

import pytest
import torch
from torch import nn

from asyncrl.config import NETWORKS
from asyncrl.errors import InputError
from asyncrl.networks.distributions import Gaussian, Softmax
from asyncrl.networks.factory import build, fit, orthogonal

FRAMES, HALF, SMALL, VECTOR = (4, 84, 84), (4, 42, 42), (4, 10, 10), (11,)
# 84 → 20 → 9 → 7
NIPS = (4 * 8 * 8 + 1) * 16 + (16 * 4 * 4 + 1) * 32 + (32 * 9 * 9 + 1) * 256
NATURE = (4 * 8 * 8 + 1) * 32 + (32 * 4 * 4 + 1) * 64 + (64 * 3 * 3 + 1) * 64 + (64 * 7 * 7 + 1) * 512
# 42 → 20 → 9 → 4
COMPACT = (4 * 4 * 4 + 1) * 32 + (32 * 4 * 4 + 1) * 64 + (64 * 3 * 3 + 1) * 64 + (64 * 4 * 4 + 1) * 512
# 10 → 8
MINATAR = (4 * 3 * 3 + 1) * 16 + (16 * 8 * 8 + 1) * 128
CONV = (4 * 3 * 3 + 1) * 32 + (32 * 8 * 8 + 1) * 256
MLP = (11 + 1) * 200


def lstm(features):
    return 4 * 256 * (features + 256 + 2)  # four gates, two biases


BODIES = {  # parameters, features
    "nips": (NIPS, 256),
    "nature": (NATURE, 512),
    "compact": (COMPACT, 512),
    "minatar": (MINATAR, 128),
    "conv": (CONV, 256),
    "mlp": (MLP, 200),
    "nips-lstm": (NIPS + lstm(256), 256),
    "nature-lstm": (NATURE + lstm(512), 256),
    "compact-lstm": (COMPACT + lstm(512), 256),
    "minatar-lstm": (MINATAR + lstm(128), 256),
    "conv-lstm": (CONV + lstm(256), 256),
    "mlp-lstm": (MLP + lstm(200), 256),
}
every_network = pytest.mark.parametrize("name", BODIES)


def shape(name):
    sizes = {"mlp": VECTOR, "minatar": SMALL, "conv": SMALL, "compact": HALF}
    return sizes.get(name.partition("-")[0], FRAMES)


def make(name, *, policy, continuous=False, actions=6):
    torch.manual_seed(1)
    return build(name, shape(name), actions=actions, continuous=continuous, policy=policy)


def evaluate(name, net, steps=2, batch=3):
    """Evaluate ``[T, B]`` random states."""
    size = (steps, batch, *shape(name))
    obs = torch.randn(size) if name.startswith("mlp") else torch.randint(256, size, dtype=torch.uint8)
    return net(obs, net.initial_carry(batch))


def count(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_every_network_is_tested():
    assert {*BODIES, "mlp-separate"} == set(NETWORKS)  # the last one in test_separate.py


@every_network
def test_action_values(name):
    net = make(name, policy=False)
    parameters, features = BODIES[name]
    q, carry = evaluate(name, net)
    assert count(net) == parameters + (features + 1) * 6
    assert q.shape == (2, 3, 6)
    assert [part.shape for part in carry] == [(3, 256)] * (2 if "lstm" in name else 0)


@every_network
def test_a_softmax_policy_shares_its_body_with_the_value(name):
    net = make(name, policy=True)
    parameters, features = BODIES[name]
    (policy, value), _ = evaluate(name, net)
    assert count(net) == parameters + (features + 1) * (6 + 1)
    assert isinstance(policy, Softmax)
    assert policy.log_pi.shape == (2, 3, 6)
    assert value.shape == (2, 3)


@every_network
def test_a_gaussian_policy_shares_nothing_with_the_value(name):
    net = make(name, policy=True, continuous=True)
    parameters, features = BODIES[name]
    (policy, value), carry = evaluate(name, net)
    assert count(net) == 2 * parameters + (features + 1) * (6 + 1) + (features + 1)
    assert isinstance(policy, Gaussian)
    assert policy.mean.shape == (2, 3, 6)
    assert policy.variance.shape == (2, 3, 1)
    assert (policy.variance > 0).all()
    assert value.shape == (2, 3)
    assert [part.shape for part in carry] == [(3, 256)] * (4 if "lstm" in name else 0)
    of_value = torch.autograd.grad(value.sum(), net.parameters(), retain_graph=True, allow_unused=True)
    of_policy = torch.autograd.grad(policy.mean.sum() + policy.variance.sum(), net.parameters(), allow_unused=True)
    assert not any(a is not None and b is not None for a, b in zip(of_value, of_policy, strict=True))


@every_network
def test_initial_weights_are_uniform_within_one_over_root_fan_in(name):
    for layer in make(name, policy=True).modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.LSTMCell):
            fan_in = layer.hidden_size if isinstance(layer, nn.LSTMCell) else layer.weight[0].numel()
            for weights in layer.parameters():
                assert weights.abs().max() <= 1 / math.sqrt(fan_in)
                if weights.numel() > 100:
                    assert weights.detach().std() * math.sqrt(3 * fan_in) == pytest.approx(1, abs=0.1)


def test_the_generator_decides_the_weights():
    one, other = make("mlp", policy=True), make("mlp", policy=True)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    third = build("mlp", VECTOR, actions=6, continuous=False, policy=True)
    assert not torch.equal(next(third.parameters()), next(one.parameters()))


def test_frames_are_scaled_to_one():
    net = make("nips", policy=False)
    obs = torch.randint(256, (1, 2, *FRAMES), dtype=torch.uint8)
    features = net.body.torso.layers(obs[0].float() / 255)
    torch.testing.assert_close(net(obs, ())[0][0], net.q(features))


@pytest.mark.parametrize("name", ["mlp", "nips"])
def test_features_are_rectified(name):
    net = make(name, policy=False)
    size = (4, *shape(name))
    obs = torch.randn(size) if name == "mlp" else torch.randint(256, size, dtype=torch.uint8)
    features = net.body.torso(obs)
    assert (features >= 0).all()
    assert (features == 0).any()


def test_auto_fits_the_observations():
    assert fit("auto", FRAMES) == "nips"
    assert fit("auto", VECTOR) == "mlp"
    assert all(fit(name, shape(name)) == name for name in NETWORKS)


@pytest.mark.parametrize(
    ("name", "obs_shape", "message"),
    [
        ("nips", (3, 7, 7), "Frames .3, 7, 7. are too small for network 'nips'"),
        ("mlp", FRAMES, "'mlp' is for vectors, but observations have shape .4, 84, 84.; use nips or nature"),
        ("mlp-lstm", FRAMES, "'mlp-lstm' is for vectors"),
        ("nips", VECTOR, "'nips' is for frames, but observations have shape .11,.; use mlp"),
        ("nature-lstm", VECTOR, "'nature-lstm' is for frames"),
    ],
)
def test_fit_of_a_network_for_other_observations_raises(name, obs_shape, message):
    with pytest.raises(InputError, match=message) as caught:
        fit(name, obs_shape)
    assert "\n" not in str(caught.value)


@every_network
@pytest.mark.parametrize(("policy", "continuous"), [(False, False), (True, False), (True, True)])
def test_orthogonal_weights(name, policy, continuous):
    net = orthogonal(make(name, policy=policy, continuous=continuous))
    for place, weights in net.named_parameters():
        if weights.dim() == 1:
            assert not weights.any()
            continue
        wide = weights.flatten(1) if weights[0].numel() >= len(weights) else weights.flatten(1).T
        small = place.startswith("policy.")
        gain = 0.01 if small else 1.0 if "lstm" in place or place in ("q.weight", "value.weight") else math.sqrt(2)
        torch.testing.assert_close(wide @ wide.T, gain**2 * torch.eye(len(wide)), atol=1e-5, rtol=1e-4)
