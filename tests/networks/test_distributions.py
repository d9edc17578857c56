"""The two policies against torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal

from asyncrl.networks.distributions import Gaussian, Softmax
from asyncrl.networks.heads import GaussianHead, SoftmaxHead

T, B, N = 4, 3, 5


@pytest.fixture
def softmax():
    logits = torch.randn(T, B, N, generator=torch.Generator().manual_seed(1)) * 3
    return Softmax(logits.log_softmax(-1)), Categorical(logits=logits)


@pytest.fixture
def gaussian():
    rng = torch.Generator().manual_seed(1)
    mean, variance = torch.randn(T, B, N, generator=rng), torch.rand(T, B, 1, generator=rng) * 3 + 0.1
    return Gaussian(mean, variance), Independent(Normal(mean, variance.sqrt().expand(T, B, N)), 1)


@pytest.mark.parametrize("kind", ["softmax", "gaussian"])
def test_log_probability_and_entropy(kind, request):
    ours, torchs = request.getfixturevalue(kind)
    torch.manual_seed(2)
    action = torchs.sample()
    torch.testing.assert_close(ours.log_prob(action), torchs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), torchs.entropy())
    assert ours.log_prob(action).shape == ours.entropy().shape == (T, B)


def test_softmax_samples(softmax):
    ours, torchs = softmax
    torch.manual_seed(2)
    assert ours.sample(torch.default_generator).shape == (T, B)
    drawn = Softmax(ours.log_pi[:1].expand(20_000, B, N)).sample(torch.default_generator)  # [20,000, B]
    shares = torch.stack([column.bincount(minlength=N) for column in drawn.T]) / len(drawn)
    torch.testing.assert_close(shares, torchs.probs[0], rtol=0, atol=0.02)


def test_gaussian_samples(gaussian):
    ours, torchs = gaussian
    torch.manual_seed(2)
    assert ours.sample(torch.default_generator).shape == (T, B, N)
    drawn = Gaussian(ours.mean[:1].expand(20_000, B, N), ours.variance[:1].expand(20_000, B, 1)).sample(
        torch.default_generator
    )
    torch.testing.assert_close(drawn.mean(0), torchs.mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.var(0), torchs.variance[0], rtol=0.05, atol=0)
    correlation = torch.corrcoef(drawn[:, 0].T)  # spherical
    assert (correlation - torch.eye(N)).abs().max() < 0.05


def test_extremes_by_hand():
    even, sure = Softmax(torch.full((4,), 0.25).log()), Softmax(torch.tensor([0.0, -200.0]))
    assert float(even.entropy()) == pytest.approx(math.log(4))
    assert float(sure.entropy()) == pytest.approx(0)
    assert float(sure.log_prob(torch.tensor(1))) == -200
    unit = Gaussian(torch.zeros(2), torch.ones(1))
    assert float(unit.log_prob(torch.zeros(2))) == pytest.approx(-math.log(2 * math.pi))
    assert float(unit.entropy()) == pytest.approx(math.log(2 * math.pi) + 1)


def test_extreme_logits_stay_finite():
    head = SoftmaxHead(1, 3)
    head.logits.weight.data = torch.tensor([[1.0], [-1.0], [0.0]])
    head.logits.bias.data.zero_()
    policy = head(torch.full((1, 1, 1), 150.0))
    action = torch.tensor([[1]])
    assert policy.log_prob(action).item() == pytest.approx(-300)  # log of a softmax would be −∞
    assert policy.entropy().item() == pytest.approx(0)
    policy.log_prob(action).sum().backward()
    assert torch.isfinite(head.logits.weight.grad).all()


def test_the_gaussian_head_gives_a_variance_not_a_deviation():
    head = GaussianHead(2, 3)
    x = torch.randn(T, B, 2)
    policy = head(x)
    torch.testing.assert_close(policy.mean, head.mean(x))
    torch.testing.assert_close(policy.variance, (1 + head.variance(x).exp()).log())
