"""Every learner's gradient is that of the paper's loop, written literally in tests/pseudocode.py."""

import pytest
import torch
from torch import Tensor, nn

from asyncrl.learners.a3c import A3C
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.flat import bind_gradients
from tests import pseudocode
from tests.learners import script as scripts
from tests.learners.script import GAMMA

BETA, VALUE_WEIGHT = 0.03, 0.5
GREEDY = EpsilonGreedy((0.0,), 0)
VALUE_METHODS = [
    (OneStepQ(GREEDY, 1), pseudocode.algorithm_1_q),
    (OneStepSarsa(GREEDY, 1), pseudocode.algorithm_1_sarsa),
    (NStepQ(GREEDY, 1), pseudocode.algorithm_s2),
]
names = pytest.mark.parametrize(("learner", "loop"), VALUE_METHODS, ids=["q", "sarsa", "n-step"])
rollouts = pytest.mark.parametrize(
    ("steps", "batch", "ending"),
    [(T, B, ending) for T in (1, 2, 5) for B in (1, 3) for ending in ("running", "terminal", "truncated", "cut")],
)


@pytest.fixture
def double():
    """Compute in float64, so that nothing but the arithmetic's order can differ."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradient(learner, net: nn.Module, target: nn.Module, script: scripts.Script) -> Tensor:
    """Return ``[P]``, as an actor-learner gets it: collected by a stream, summed up by autograd into one vector."""
    flat = bind_gradients(net)
    learner.loss(net, target, scripts.collect(script, net, learner.looks_ahead)).total.backward()
    return flat.clone()


def value_gradients(learner, loop, network: str, steps: int, batch: int, ending: str) -> tuple[Tensor, Tensor]:
    net, target = (scripts.make(network, policy=False, seed=seed) for seed in (1, 2))
    script = scripts.write(network, steps, batch, ending)
    ours = gradient(learner, net, target, script)
    return ours, sum(loop(path, net, target, GAMMA) for path in scripts.read(script, net))


def policy_gradients(network: str, continuous: bool, steps: int, batch: int, ending: str) -> tuple[Tensor, Tensor]:
    net = scripts.make(network, policy=True, continuous=continuous)
    script = scripts.write(network, steps, batch, ending, continuous=continuous)
    ours = gradient(A3C(BETA, VALUE_WEIGHT), net, net, script)
    paths = scripts.read(script, net)
    return ours, sum(pseudocode.algorithm_s3(path, net, GAMMA, BETA, VALUE_WEIGHT) for path in paths)


@names
@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@rollouts
def test_value_methods(double, learner, loop, network, steps, batch, ending):
    ours, papers = value_gradients(learner, loop, network, steps, batch, ending)
    assert papers.norm() > 0.01
    torch.testing.assert_close(ours, papers, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("continuous", [False, True], ids=["softmax", "gaussian"])
@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@rollouts
def test_a3c(double, continuous, network, steps, batch, ending):
    ours, papers = policy_gradients(network, continuous, steps, batch, ending)
    assert papers.norm() > 0.01
    torch.testing.assert_close(ours, papers, rtol=1e-9, atol=1e-12)


@names
def test_value_methods_on_frames(learner, loop):
    ours, papers = value_gradients(learner, loop, "nips", 2, 3, "truncated")
    assert (ours - papers).norm() < 1e-5 * papers.norm()


@pytest.mark.parametrize("network", ["nips", "nips-lstm"])
def test_a3c_on_frames(network):
    ours, papers = policy_gradients(network, False, 2, 3, "truncated")
    assert (ours - papers).norm() < 1e-5 * papers.norm()
