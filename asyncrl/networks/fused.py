"""A torso and the linear layers after it as one operation of autograd.

With few states, the time of a network is that of calling operations: a dozen of autograd's, forward and backward, take
longer than their arithmetic. The gradients of these layers are written out here and in the torsos instead.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class FusedTorso(Protocol):
    """A torso that computes its own gradients."""

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Its parameters."""
        ...

    def run(self, obs: Tensor, is_acting: bool) -> tuple[Tensor, Any]:
        """Map ``[N, *O]`` to features ``[N, F]`` and to what ``accumulate`` needs; autograd records nothing."""
        ...

    def accumulate(self, saved: Any, grad: Tensor, gradients: Sequence[Tensor]) -> None:
        """Add the gradients of ``weights`` to ``gradients``, from that of the features ``[N, F]``."""
        ...


def evaluate(torso: FusedTorso, layers: Sequence[nn.Linear], obs: Tensor) -> tuple[Tensor, ...]:
    """Map ``[N, *O]`` to the output ``[N, n]`` of each layer, differentiable in all parameters; to features if none.

    If all parameters have a ``.grad``, backward adds to it in place, which saves a pass over the gradient;
    ``torch.autograd.grad`` then has nothing to return.
    """
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    if torch.is_grad_enabled():
        outputs: tuple[Tensor, ...] = _Network.apply(torso, obs, *torso.weights, *parameters)  # type: ignore[no-untyped-call]
        return outputs
    return _outputs(torso.run(obs, is_acting=True)[0], parameters)


def _outputs(features: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    if not parameters:
        return (features,)
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return tuple(torch.addmm(bias, features, weight.t()) for weight, bias in pairs)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, torso: FusedTorso, obs: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        features, ctx.of_torso = torso.run(obs, is_acting=False)
        ctx.torso, ctx.features, ctx.parameters = torso, features, parameters
        first = len(torso.weights)
        # autograd must own the tensors that forward returns
        return _outputs(features if len(parameters) > first else features.clone(), parameters[first:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        torso, features, parameters = ctx.torso, ctx.features, ctx.parameters
        in_place = all(each.grad is not None and each.grad.is_contiguous() for each in parameters)
        total = [each.grad if in_place else torch.zeros_like(each) for each in parameters]
        first = len(torso.weights)
        if len(parameters) == first:
            grad_features = grads[0].contiguous()
        else:
            grad_features = torch.zeros_like(features)
            for grad, i in zip(grads, range(first, len(parameters), 2), strict=True):
                total[i].addmm_(grad.t(), features)
                total[i + 1].add_(grad.sum(0))
                grad_features.addmm_(grad, parameters[i])
        torso.accumulate(ctx.of_torso, grad_features, total[:first])
        return (None, None, *([None] * len(parameters) if in_place else total))
