"""The compiled torsos: the same numbers as ``Frames``' layers, to rounding, in a fraction of the time."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asyncrl import native


class Torso(NamedTuple):
    """The kernels of one architecture, for ``[N, 4, 84, 84]`` uint8 frames."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    kept: int  # floats that backward needs of each of forward's N
    flat: int  # features before the hidden layer
    hidden: int  # features after it


SIZES = {  # outputs of each convolution, hidden
    "nips": ((16 * 20 * 20, 32 * 9 * 9), 256),
    "nature": ((32 * 20 * 20, 64 * 9 * 9, 64 * 7 * 7), 512),
}


@cache
def torso(name: str) -> Torso | None:
    """Return the kernels for an architecture; None where there is no compiled part."""
    library = native.library()
    if library is None:
        return None
    outputs, hidden = SIZES[name]
    forward, backward = getattr(library, f"{name}_forward"), getattr(library, f"{name}_backward")
    return Torso(forward, backward, sum(outputs) + outputs[-1], outputs[-1], hidden)


def features(torso: Torso, obs: Tensor, parameters: tuple[Tensor, ...]) -> Tensor:
    """Map ``[N, 4, 84, 84]`` uint8 to ``[N, F]``, differentiable in the weights and biases of the layers."""
    if torch.is_grad_enabled():
        result: Tensor = _Features.apply(torso, obs, *parameters)  # type: ignore[no-untyped-call]
        return result
    return _forward(torso, obs, parameters)[0]


def _forward(torso: Torso, obs: Tensor, parameters: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    count = len(obs)
    features, kept = torch.empty(count, torso.hidden), torch.empty(count * torso.kept)
    weights = native.pointers(parameters)
    torso.forward(count, native.pointer(obs), weights, native.pointer(kept), native.pointer(features))
    return features, kept


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, torso: Torso, obs: Tensor, *parameters: Tensor) -> Tensor:
        features, kept = _forward(torso, obs, parameters)
        ctx.torso = torso
        ctx.save_for_backward(obs, kept, features, *parameters)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        obs, kept, features, *parameters = ctx.saved_tensors
        torso: Torso = ctx.torso
        gradients = [torch.empty_like(parameter) for parameter in parameters]
        scratch = torch.empty(len(obs) * (torso.hidden + torso.flat))
        given = (native.pointer(tensor) for tensor in (kept, features, grad.contiguous()))
        weights, to = native.pointers(parameters), native.pointers(gradients)
        torso.backward(len(obs), native.pointer(obs), weights, *given, to, native.pointer(scratch))
        return (None, None, *gradients)
