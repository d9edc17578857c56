"""What the kernels' tests share."""

import pytest
import torch

from asyncrl.kernels import native
from asyncrl.kernels.torso import ARCHITECTURES
from asyncrl.networks.factory import build

compiled = pytest.mark.skipif(native.load() is None, reason=f"no compiled library: {native.status()}")


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 4, 84, 84), dtype=torch.uint8, generator=generator)


def states(name, count, seed=0):
    """Return states of an architecture: frames, or sparse planes as MinAtar's are."""
    generator = torch.Generator().manual_seed(seed)
    architecture = ARCHITECTURES[name]
    pixels = torch.randint(256, (count, *architecture.shape), dtype=torch.uint8, generator=generator)
    return pixels if architecture.dtype == torch.uint8 else pixels < 40


def torso_of(name):
    """Return the torso of a network that fits an architecture."""
    shape, dtype = ARCHITECTURES[name][:2]
    options = {"actions": 6, "continuous": False, "policy": False, "obs_dtype": str(dtype).removeprefix("torch.")}
    return build(name.partition("_")[0], shape, **options).body.torso


def gradients(net, obs, weight):
    return torch.autograd.grad((net(obs) * weight).sum(), list(net.parameters()))


def build_like(net):
    """Return a torso with the same weights and no cache."""
    other = build("nips", (4, 84, 84), actions=6, continuous=False, policy=False).body.torso
    other.load_state_dict(net.state_dict())
    return other
