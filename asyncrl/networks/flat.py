"""A network's parameters and gradients as one flat vector ``[P]``."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def flatten(net: nn.Module) -> Tensor:
    """Return a copy of all parameters as ``[P]`` float32."""
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def bind(net: N, flat: Tensor) -> N:
    """Make a network's parameters views of ``[P]``, so that a write there changes the network; return the network."""
    _each(net, flat, lambda parameter, view: setattr(parameter, "data", view))
    return net


def bind_gradients(net: nn.Module) -> Tensor:
    """Make a network's gradients views of one ``[P]`` vector, and return that: autograd adds into it."""
    grad = torch.zeros(sum(p.numel() for p in net.parameters()))
    _each(net, grad, lambda parameter, view: setattr(parameter, "grad", view))
    return grad


def _each(net: nn.Module, flat: Tensor, do: Callable[[nn.Parameter, Tensor], None]) -> None:
    start = 0
    for parameter in net.parameters():
        do(parameter, flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()
    if start != len(flat):
        raise ValueError(f"the network has {start} parameters, the vector {len(flat)}")
