"""The recurrent carry: what it remembers, and when it forgets."""

import pytest
import torch

from asyncrl.networks.factory import build


def make(kind):
    torch.manual_seed(1)
    return build("mlp-lstm", (4,), actions=3, continuous=kind == "gaussian", policy=kind != "q")


def numbers(out):
    """Return a network's output as one tensor ``[T, B, …]``."""
    if isinstance(out, torch.Tensor):
        return out
    return torch.cat([*out.policy, out.value.unsqueeze(-1)], -1)


@pytest.fixture(params=["q", "softmax", "gaussian"])
def net(request):
    return make(request.param)


@pytest.fixture
def obs():
    return torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(2))


def carry_of(net, seed=3):
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(part.shape, generator=rng) for part in net.initial_carry(2))


@torch.no_grad()
def test_steps_together_are_steps_one_by_one(net, obs):
    together, after = net(obs, carry_of(net))
    carry, alone = carry_of(net), []
    for t in range(5):
        out, carry = net(obs[t : t + 1], carry)
        alone.append(numbers(out))
    torch.testing.assert_close(numbers(together), torch.cat(alone))
    torch.testing.assert_close(after, carry)


@torch.no_grad()
@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@pytest.mark.parametrize("continuous", [False, True])
def test_deciding_is_the_policy_without_the_value(network, continuous, obs):
    net = build(network, (4,), actions=3, continuous=continuous, policy=True)
    out, after = net(obs, carry_of(net))
    policy, carry = net.decide(obs, carry_of(net))
    torch.testing.assert_close(tuple(policy), tuple(out.policy), rtol=0, atol=0)
    torch.testing.assert_close(carry, after, rtol=0, atol=0)


@torch.no_grad()
def test_where_keep_is_false_an_episode_begins(net, obs):
    keep = torch.ones(5, 2).bool()
    keep[2, 0] = keep[0, 1] = keep[4, 1] = False
    masked, after = net(obs, carry_of(net), keep)
    for b, begins in ((0, [2]), (1, [0, 4])):
        carry, parts = tuple(part[b : b + 1] for part in carry_of(net)), []
        for start, end in zip([0, *begins], [*begins, 5], strict=True):
            if start in begins:
                carry = net.initial_carry(1)
            if end > start:
                out, carry = net(obs[start:end, b : b + 1], carry)
                parts.append(numbers(out))
        torch.testing.assert_close(numbers(masked)[:, b : b + 1], torch.cat(parts))
        torch.testing.assert_close(tuple(part[b : b + 1] for part in after), carry)


def test_no_gradient_flows_over_an_episodes_end(net, obs):
    keep = torch.ones(5, 2).bool()
    keep[3] = False
    obs.requires_grad_()
    out, _ = net(obs, carry_of(net), keep)
    numbers(out)[3:].sum().backward()
    assert not obs.grad[:3].any()
    assert obs.grad[3:].any()


@torch.no_grad()
def test_looking_ahead_leaves_the_carry_as_it_was(net, obs):
    _, carry = net(obs[:4], carry_of(net))
    copies = [part.clone() for part in carry]
    _, ahead = net(obs[4:], carry)
    assert all(torch.equal(part, copy) for part, copy in zip(carry, copies, strict=True))
    assert not torch.equal(ahead[0], carry[0])


def test_an_episode_begins_with_zeros(net):
    assert not any(part.any() for part in net.initial_carry(3))
    assert build("mlp", (4,), actions=3, continuous=False, policy=True).initial_carry(3) == ()


@torch.no_grad()
def test_a_feed_forward_network_remembers_nothing(obs):
    net = build("mlp", (4,), actions=3, continuous=False, policy=False)
    keep = torch.zeros(5, 2).bool()
    assert torch.equal(net(obs, ())[0], net(obs, (), keep)[0])
    torch.testing.assert_close(net(obs, ())[0][3:4], net(obs[3:4], ())[0])
