"""The optimisers against a loop over numbers (Supplement 7) and, for Adam, torch's own."""

import math

import numpy as np
import pytest
import torch

from asyncrl.kernels import native
from asyncrl.optim import Adam, Momentum, RMSProp, clip_

ALPHA, LR = 0.9, 0.05
START = [1.0, -2.0, 0.5, 3.0]
GRADIENTS = [[0.1, -3.0, 0.0, 20.0], [0.2, 1.0, -1e-4, -20.0], [-0.1, 0.5, 7.0, 1e-6], [0.05, 0.5, 1.0, 2.0]]


@pytest.fixture(params=["compiled", "torch"])
def kind(request, monkeypatch):
    """Run a test of RMSProp with the kernels, if they are available, and with torch."""
    if request.param == "torch":
        monkeypatch.setattr(native, "load", lambda: None)
    return request.param


def descend(optimizer, gradients=GRADIENTS, lr=LR):
    """Return θ and the state after some updates."""
    theta, state = torch.tensor(START), torch.zeros(optimizer.slots, len(START))
    for t, gradient in enumerate(gradients):
        optimizer.apply(theta, torch.tensor(gradient), state, lr, t + 1)
    return theta, state


@pytest.mark.parametrize("eps", [0.1, 1e-3])
def test_rmsprop_is_supplement_7(kind, eps):
    theta, state = descend(RMSProp(shared=True, alpha=ALPHA, eps=eps))
    for i in range(len(START)):
        x, g = START[i], 0.0
        for gradient in GRADIENTS:
            d = gradient[i]
            g = ALPHA * g + (1 - ALPHA) * d * d
            x -= LR * d / math.sqrt(g + eps)
        assert float(theta[i]) == pytest.approx(x, rel=1e-5)
        assert float(state[0, i]) == pytest.approx(g, rel=1e-5)


def test_golden_numbers(kind):
    theta, _ = descend(RMSProp(shared=True, alpha=0.99, eps=0.1), [[0.1, 1.0, 10.0, 0.0]], lr=1.0)
    expected = [0.1 / math.sqrt(0.1001), 1 / math.sqrt(0.11), 10 / math.sqrt(1.1), 0]
    np.testing.assert_allclose(torch.tensor(START) - theta, expected, rtol=1e-5)


def test_epsilon_is_inside_the_root_where_torchs_is_outside(kind):
    small = [[1e-4] * 4]
    ours, _ = descend(RMSProp(shared=True, alpha=0.99, eps=0.1), small, lr=1e3)
    theta = torch.tensor(START, requires_grad=True)
    theirs = torch.optim.RMSprop([theta], lr=1e3, alpha=0.99, eps=0.1)
    theta.grad = torch.tensor(small[0])
    theirs.step()
    ratio = (ours - torch.tensor(START)) / (theta.detach() - torch.tensor(START))
    np.testing.assert_allclose(ratio, 0.1 / math.sqrt(0.1), rtol=1e-3)  # 0.316: three times smaller steps


def test_momentum_is_supplement_7():
    theta, state = descend(Momentum(alpha=ALPHA))
    for i in range(len(START)):
        x, m = START[i], 0.0
        for gradient in GRADIENTS:
            m = ALPHA * m + (1 - ALPHA) * gradient[i]
            x -= LR * m
        assert float(theta[i]) == pytest.approx(x, rel=1e-5)
        assert float(state[0, i]) == pytest.approx(m, rel=1e-5)


def test_adam_is_torchs():
    ours, _ = descend(Adam(eps=1e-3))
    theta = torch.tensor(START, requires_grad=True)
    theirs = torch.optim.Adam([theta], lr=LR, eps=1e-3)
    for gradient in GRADIENTS:
        theta.grad = torch.tensor(gradient)
        theirs.step()
    torch.testing.assert_close(ours, theta.detach())


@pytest.mark.parametrize("optimizer", [RMSProp(True, 0.99, 0.1), Momentum(0.99), Adam(0.1)])
def test_everything_happens_in_place_and_the_gradient_is_left_alone(optimizer):
    theta, state, gradient = torch.ones(4), torch.zeros(optimizer.slots, 4), torch.ones(4)
    where = theta.data_ptr(), state.data_ptr()
    optimizer.apply(theta, gradient, state, LR, 1)
    assert (theta.data_ptr(), state.data_ptr()) == where
    assert (theta < 1).all()
    assert (state != 0).all()
    assert torch.equal(gradient, torch.ones(4))


def test_who_shares_what():
    assert RMSProp(True, 0.99, 0.1).shared
    assert not RMSProp(False, 0.99, 0.1).shared
    assert not Momentum(0.99).shared
    assert Adam(0.1).shared


def test_clipping_scales_the_whole_vector():
    gradient = torch.tensor([30.0, -40.0, 0.0, 120.0])  # norm 130
    assert clip_(gradient, 40.0) == pytest.approx(130)
    np.testing.assert_allclose(gradient, np.array([30, -40, 0, 120]) * 40 / 130, rtol=1e-6)


@pytest.mark.parametrize("largest", [1e19, 3e25, 3.4e38])
@pytest.mark.parametrize("limit", [1e-3, 40.0])
@pytest.mark.parametrize("size", [3, 5_000])
def test_a_finite_gradient_is_clipped_though_its_squares_are_beyond_float32(largest, limit, size):
    gradient = torch.linspace(-1, 1, size) * largest
    exact = gradient.double()
    norm = clip_(gradient, limit)
    assert norm == pytest.approx(float(exact.norm()), rel=1e-6)
    np.testing.assert_allclose(gradient, exact * (limit / float(exact.norm())), rtol=1e-6, atol=1e-12)


def test_without_a_limit_a_norm_beyond_float32_is_told_as_not_finite():
    gradient = torch.tensor([1e30, -1e30])
    assert clip_(gradient, None) == math.inf
    assert gradient.tolist() == torch.tensor([1e30, -1e30]).tolist()


@pytest.mark.parametrize("limit", [None, 5.0, 100.0])
def test_what_is_short_enough_is_not_clipped(limit):
    gradient = torch.tensor([3.0, 4.0])
    assert clip_(gradient, limit) == 5
    assert gradient.tolist() == [3, 4]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_norm_that_is_not_finite_is_told_and_nothing_is_scaled(bad):
    gradient = torch.tensor([1.0, bad, 2.0])
    norm = clip_(gradient, 1.0)
    assert not math.isfinite(norm)
    np.testing.assert_array_equal(gradient, [1, bad, 2])
