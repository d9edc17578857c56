"""Builds networks from a name and an environment's spaces."""

import math
from collections.abc import Sequence

from torch import nn

from asyncrl.errors import InputError
from asyncrl.networks.heads import ActionValues, GaussianHead, SeparateActorCritic, SharedActorCritic, SoftmaxHead
from asyncrl.networks.torsos import LSTM_CELLS, Body, Frames, Vectors, convolved

HIDDEN = 200  # units of the hidden layer for vectors, as in the paper
# (channels, kernel, stride) of each convolution; units of the hidden layer
CONVOLUTIONS = {
    "nips": ([(16, 8, 4), (32, 4, 2)], 256),  # Setup A
    "nature": ([(32, 8, 4), (64, 4, 2), (64, 3, 1)], 512),  # Setup B
}
# of orthogonal weights: a rectifier halves the variance of its input, and the initial policy should be near uniform
GAINS = {"body": math.sqrt(2), "actor": math.sqrt(2), "critic": math.sqrt(2), "policy": 0.01, "value": 1.0, "q": 1.0}


def fit(network: str, obs_shape: Sequence[int]) -> str:
    """Return the network's name with ``auto`` resolved; raise InputError if it does not fit the observations."""
    frames = len(obs_shape) == 3
    if network == "auto":
        network = "nips" if frames else "mlp"
    expected = "vectors" if network.startswith("mlp") else "frames"
    if frames != (expected == "frames"):
        other = " or ".join(CONVOLUTIONS) if frames else "mlp"
        raise InputError(
            f"Network {network!r} is for {expected}, but observations have shape {tuple(obs_shape)}; use {other}."
        )
    if frames and min(convolved(size, CONVOLUTIONS[network.partition("-")[0]][0]) for size in obs_shape[1:]) < 1:
        raise InputError(
            f"Frames {tuple(obs_shape)} are too small for network {network!r}; resize them to 84 × 84 with "
            "gymnasium.wrappers.ResizeObservation(env, (84, 84)), which takes images with channels last."
        )
    return network


def build(network: str, obs_shape: Sequence[int], *, actions: int, continuous: bool, policy: bool) -> nn.Module:
    """Build a network with initial weights from torch's generator.

    Args:
        network: a name out of ``config.NETWORKS``, as ``fit`` returns it.
        obs_shape: ``[C, H, W]`` or ``[n]``.
        actions: how many actions there are, or the size of a continuous one.
        continuous: whether actions are vectors; the policy is then Gaussian, and shares no weights with the value.
        policy: True for an actor-critic, False for action values.
    """
    if not policy:
        return ActionValues(_body(network, obs_shape), actions)
    if continuous:
        actor, critic = _body(network, obs_shape), _body(network, obs_shape)
        return SeparateActorCritic(actor, critic, GaussianHead(actor.features, actions))
    body = _body(network, obs_shape)
    return SharedActorCritic(body, SoftmaxHead(body.features, actions))


def orthogonal(net: nn.Module) -> nn.Module:
    """Replace a network's weights by orthogonal ones (Saxe et al., 2014) and its biases by 0; return the network.

    Activations then keep their scale from layer to layer; uniform weights in ±1/√fan_in at least halve it. Gains are
    those of OpenAI's A2C: √2 before a rectifier, 0.01 for a policy's outputs, 1 for values and LSTM cells.
    """
    for name, weights in net.named_parameters():
        if weights.dim() == 1:
            nn.init.zeros_(weights)
        else:
            nn.init.orthogonal_(weights, 1.0 if ".lstm." in name else GAINS[name.partition(".")[0]])
    return net


def _body(network: str, obs_shape: Sequence[int]) -> Body:
    name, _, recurrent = network.partition("-")
    torso = Vectors(obs_shape, HIDDEN) if name == "mlp" else Frames(obs_shape, *CONVOLUTIONS[name], compiled=name)
    return Body(torso, LSTM_CELLS if recurrent else 0)
