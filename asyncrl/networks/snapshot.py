"""A network with weights of its own, θ′, and the activations that learning may take over from acting."""

from typing import Protocol

import torch
from torch import Tensor, nn

from asyncrl.networks.flat import bind
from asyncrl.networks.torsos import cache_activations


class Source(Protocol):
    """Where weights are copied from."""

    def pull(self, local: Tensor) -> None:
        """Copy θ to ``[P]`` local weights."""


class Snapshot:
    """Binds a network to θ′. Weights and cached activations change together, so that no stale activation is used.

    While θ′ stays the same, the loss evaluates the states that were acted on: the compiled torso keeps the activations
    of acting and reuses them. ``pull`` is the only change of θ′, and it drops them.
    """

    def __init__(self, net: nn.Module, states: int) -> None:
        """Bind a network to weights that are undefined before the first ``pull``.

        Args:
            net: the network.
            states: how many states it sees between two pulls, at most.
        """
        self._theta = torch.empty(sum(parameter.numel() for parameter in net.parameters()))
        bind(net, self._theta)
        self._clear_cache = cache_activations(net, states)

    def pull(self, source: Source) -> None:
        """θ′ ← θ."""
        source.pull(self._theta)
        self._clear_cache()
