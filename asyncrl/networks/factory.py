"""Builds networks from a name and an environment's spaces."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from asyncrl import own_parts
from asyncrl.config import NETWORKS
from asyncrl.envs.contract import user_code
from asyncrl.errors import InputError, nearest, shown
from asyncrl.kernels import torso
from asyncrl.networks.heads import (
    ActionValues,
    GaussianHead,
    PolicyHead,
    SeparateActorCritic,
    SharedActorCritic,
    SoftmaxesHead,
    SoftmaxHead,
)
from asyncrl.networks.torsos import LSTM_CELLS, Body, Convolution, Frames, Vectors, convolved

LSTM = "-lstm"  # after the name of a network: with LSTM cells
HIDDEN = 200  # units of the hidden layer for vectors, as in the paper
# convolutions, and units of the hidden layer
CONVOLUTIONS: dict[str, tuple[list[Convolution], int]] = {
    "nips": ([(16, 8, 4), (32, 4, 2)], 256),  # Setup A
    "nature": ([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),  # Setup B
    "compact": ([(32, 4, 2), (64, 4, 2), (64, 3, 2)], 512),  # for frames of 42 × 42
    "minatar": ([(16, 3, 1)], 128),  # Young and Tian (2019)
}
ADAPTED = "conv"  # has as many convolutions as the picture needs
ADAPTED_HIDDEN, ADAPTED_SIDE = 256, 12  # units; pixels above which a convolution halves the larger side
HALF, LAST = (32, 4, 2), (32, 3, 1)
NIPS_SIDES = range(36, 129)  # pixels of a side for which auto is nips
MOST_WEIGHTS = 2**23  # of the hidden layer
# of orthogonal weights: a rectifier halves the variance of its input, and the initial policy should be near uniform
GAINS = {"body": math.sqrt(2), "actor": math.sqrt(2), "critic": math.sqrt(2), "policy": 0.01, "value": 1.0, "q": 1.0}


def fit(network: str, obs_shape: Sequence[int]) -> str:
    """Return the network's name with ``auto`` resolved; raise InputError if it is unknown, or does not fit."""
    if own_parts.is_own(network):
        return network
    if network not in ("auto", *NETWORKS):
        known = ", ".join(NETWORKS)
        raise InputError(f"There is no network {shown(network)}; there are {known}.{nearest(network, NETWORKS)}")
    frames = len(obs_shape) == 3
    if network == "auto":
        network = ("nips" if all(side in NIPS_SIDES for side in obs_shape[1:]) else ADAPTED) if frames else "mlp"
    expected = "vectors" if network.startswith("mlp") else "frames"
    if frames != (expected == "frames"):
        other = " or ".join([*CONVOLUTIONS, ADAPTED]) if frames else "mlp"
        raise InputError(
            f"Network {network!r} is for {expected}, but observations have shape {tuple(obs_shape)}; use {other}."
        )
    if frames:
        _check_size(network, obs_shape)
    return network


def _check_size(network: str, obs_shape: Sequence[int]) -> None:
    """Raise InputError where frames are too small for the convolutions, or leave too many numbers."""
    convolutions, hidden = _convolutions(network.partition("-")[0], obs_shape)
    height, width = (convolved(side, convolutions) for side in obs_shape[1:])
    weights = height * width * convolutions[-1][0] * hidden
    if min(height, width) >= 1 and weights <= MOST_WEIGHTS:
        return
    what = "large" if min(height, width) >= 1 else "small"
    other = "" if network.startswith(ADAPTED) else f"use {ADAPTED}, which adapts to their size, or "
    raise InputError(
        f"Frames {tuple(obs_shape)} are too {what} for network {network!r}; {other}resize them to 84 × 84 with "
        "gymnasium.wrappers.ResizeObservation(env, (84, 84)), which takes images with channels last."
    )


def _convolutions(name: str, obs_shape: Sequence[int]) -> tuple[list[Convolution], int]:
    """Return the convolutions and the units of the hidden layer for ``[C, H, W]`` frames."""
    if name != ADAPTED:
        return CONVOLUTIONS[name]
    halving: list[Convolution] = []
    sides = obs_shape[1:]
    # the smaller side of a long picture ends the halving
    while convolved(max(sides), halving) > ADAPTED_SIDE and convolved(min(sides), [*halving, HALF, LAST]) >= 1:
        halving.append(HALF)
    return [*halving, LAST], ADAPTED_HIDDEN


def build(
    network: str,
    obs_shape: Sequence[int],
    *,
    actions: int | tuple[int, ...],
    continuous: bool,
    policy: bool,
    obs_dtype: str = "uint8",
) -> nn.Module:
    """Build a network with initial weights from torch's generator.

    Args:
        network: a name out of ``config.NETWORKS``, as ``fit`` returns it.
        obs_shape: ``[C, H, W]`` or ``[n]``.
        obs_dtype: of ``[C, H, W]``, as in ``Spec.obs_dtype``; ``[n]`` is float32.
        actions: how many actions there are, the size of a continuous one, or the numbers of several at once.
        continuous: whether actions are vectors; the policy is then Gaussian, and shares no weights with the value,
            as in ``mlp-separate``.
        policy: True for an actor-critic, False for action values.
    """
    body = _body(network, obs_shape, obs_dtype)
    if not policy:
        assert isinstance(actions, int)
        return ActionValues(body, actions)
    if continuous or network.endswith("-separate"):
        critic = _body(network, obs_shape, obs_dtype)
        return SeparateActorCritic(body, critic, _policy_head(body.features, actions, continuous))
    return SharedActorCritic(body, _policy_head(body.features, actions, continuous))


def _policy_head(features: int, actions: int | tuple[int, ...], continuous: bool) -> PolicyHead:
    if isinstance(actions, tuple):
        return SoftmaxesHead(features, actions)
    return GaussianHead(features, actions) if continuous else SoftmaxHead(features, actions)


def orthogonal(net: nn.Module) -> nn.Module:
    """Replace a network's weights by orthogonal ones (Saxe et al., 2014) and its biases by 0; return the network.

    The modules of a user keep theirs.

    Activations then keep their scale from layer to layer; uniform weights in ±1/√fan_in at least halve it. Gains are
    those of OpenAI's A2C: √2 before a rectifier, 0.01 for a policy's outputs, 1 for values and LSTM cells.
    """
    own = [f"{name}." for name, module in net.named_modules() if getattr(module, "is_own", False)]
    for name, weights in net.named_parameters():
        if name.startswith(tuple(own)):
            continue
        if weights.dim() == 1:
            nn.init.zeros_(weights)
        else:
            nn.init.orthogonal_(weights, 1.0 if ".lstm." in name else GAINS[name.partition(".")[0]])
    return net


def _body(network: str, obs_shape: Sequence[int], obs_dtype: str) -> Body:
    if own_parts.is_own(network):
        return _own_body(network, obs_shape, obs_dtype)
    name, _, variant = network.partition("-")
    cells = LSTM_CELLS if variant == "lstm" else 0
    if name == "mlp":
        return Body(Vectors(obs_shape, HIDDEN), cells)
    return Body(Frames(obs_shape, *_convolutions(name, obs_shape), torso.find(name, obs_shape, obs_dtype)), cells)


def _own_body(network: str, obs_shape: Sequence[int], obs_dtype: str) -> Body:
    """Build a module of the user, and try it with zeros."""
    name, is_recurrent = network.removesuffix(LSTM), network.endswith(LSTM)
    make = own_parts.load(name)
    with user_code(f"Cannot make {name}"):
        module = make(tuple(obs_shape))
        if not (isinstance(module, nn.Module) and isinstance(getattr(module, "features", None), int)):
            raise InputError(f"{name} must make a torch.nn.Module with a whole number as its attribute features.")
        module.is_own = True  # type: ignore[assignment]
        body: Any = module
        if not hasattr(module, "initial_carry"):
            body = Body(module, LSTM_CELLS if is_recurrent else 0)
        elif is_recurrent:
            raise InputError(f"{name} has a state of its own (initial_carry); leave out -lstm.")
        dtype = getattr(torch, obs_dtype) if len(obs_shape) == 3 else torch.float32
        obs = torch.zeros(2, 3, *obs_shape, dtype=dtype)
        with torch.no_grad():
            features, carry = body(obs, body.initial_carry(3), torch.ones(2, 3, dtype=torch.bool))
    if features.shape != (2, 3, body.features) or len(carry) != len(body.initial_carry(3)):
        raise InputError(
            f"{name} maps 2 × 3 observations of shape {tuple(obs_shape)} to {tuple(features.shape)} and a state of "
            f"{len(carry)} tensors; {(2, 3, body.features)} and {len(body.initial_carry(3))} are expected."
        )
    return body  # type: ignore[no-any-return]
