"""What the kernels' tests share."""

import pytest
import torch

from asyncrl.kernels import native
from asyncrl.networks.factory import build

compiled = pytest.mark.skipif(native.load() is None, reason=f"no compiled library: {native.status()}")


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 4, 84, 84), dtype=torch.uint8, generator=generator)


def gradients(net, obs, weight):
    return torch.autograd.grad((net(obs) * weight).sum(), list(net.parameters()))


def build_like(net):
    """Return a torso with the same weights and no cache."""
    other = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    other.load_state_dict(net.state_dict())
    return other
