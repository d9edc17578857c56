"""Torsos and the recurrent core: from observations to features.

Initial weights are uniform in ±1/√fan_in, the default of Torch7, which the paper used, and of torch's ``nn.Linear``;
``factory.orthogonal`` draws others.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from asyncrl.kernels import torso
from asyncrl.rollout import Carry

N = TypeVar("N", bound=nn.Module)

LSTM_CELLS = 256  # Setup B

Convolution: TypeAlias = tuple[int, int, int]  # channels, kernel, stride


def convolved(size: int, convolutions: Sequence[Convolution]) -> int:
    """Return the side of the convolutions' output for an input side of ``size`` pixels; below 1 if it is too small."""
    for _, kernel, stride in convolutions:
        size = (size - kernel) // stride + 1
    return size


class Frames(nn.Module):
    """Frames, convolutions, one hidden layer, all rectified. uint8 frames are scaled to [0, 1], others are not."""

    def __init__(
        self, shape: Sequence[int], convolutions: Sequence[Convolution], hidden: int, architecture: str | None
    ) -> None:
        """Build for ``[C, H, W]`` frames.

        Args:
            shape: ``(C, H, W)``.
            convolutions: (channels, kernel, stride) of each.
            hidden: units of the hidden layer.
            architecture: the name of the compiled kernels that replace the layers; None: torch evaluates them.
        """
        super().__init__()
        self.architecture = architecture
        channels, height, width = shape
        layers: list[nn.Module] = []
        for out, kernel, stride in convolutions:
            layers += [nn.Conv2d(channels, out, kernel, stride), nn.ReLU()]
            channels = out
        height, width = (convolved(size, convolutions) for size in (height, width))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, hidden), nn.ReLU())
        self._weights = tuple(self.layers.parameters())
        self.cache: torso.ActivationCache | None = None
        self.features = hidden

    @property
    def kernels(self) -> torso.Kernels | None:
        """The compiled kernels that replace ``layers``; None if torch evaluates the layers."""
        is_float32 = self._weights[0].dtype == torch.float32
        return torso.load_kernels(self.architecture) if self.architecture and is_float32 else None

    def use_torch(self) -> None:
        """Never use the compiled kernels."""
        self.architecture = None

    def forward(self, obs: Tensor) -> Tensor:
        """Map ``[N, C, H, W]`` uint8, bool or float32 to ``[N, F]``."""
        if (kernels := self.kernels) and obs.dtype == kernels.dtype:
            return torso.compute_features(kernels, self.cache, obs.contiguous(), self._weights)
        numbers = obs.float()
        features: Tensor = self.layers(numbers.div_(255) if obs.dtype == torch.uint8 else numbers)
        return features


def without_kernels(net: N) -> N:
    """Let torch evaluate all layers of a network, so that it can be exported; return the network."""
    for module in net.modules():
        if isinstance(module, Frames):
            module.use_torch()
    return net


def cache_activations(net: nn.Module, capacity: int) -> Callable[[], None]:
    """Let a network reuse activations: the loss needs the same ones that acting has computed.

    Args:
        net: the network.
        capacity: the largest number of states between two changes of its weights; 0 if they may change at any time.

    Returns:
        A function that clears the cache. The caller must call it whenever the weights change.
    """
    caches = []
    for module in net.modules():
        if isinstance(module, Frames) and (kernels := module.kernels):
            module.cache = torso.ActivationCache(kernels, capacity)
            caches.append(module.cache)

    def clear() -> None:
        for cache in caches:
            cache.clear()

    return clear


class Vectors(nn.Module):
    """One rectified hidden layer (Supplement 9)."""

    def __init__(self, shape: Sequence[int], hidden: int) -> None:
        """Build for ``[n]`` vectors."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(shape[0], hidden), nn.ReLU())
        self.features = hidden

    def forward(self, obs: Tensor) -> Tensor:
        """Map ``[N, n]`` float32 to ``[N, F]``."""
        features: Tensor = self.layers(obs)
        return features


class Body(nn.Module):
    """A torso, followed by an LSTM in a recurrent network."""

    def __init__(self, torso: Any, cells: int = 0) -> None:
        """Add ``cells`` LSTM cells after the torso, a module with ``features``; 0 for a feed-forward network."""
        super().__init__()
        self.torso = torso
        self.lstm = nn.LSTMCell(torso.features, cells) if cells else None
        self.features = cells or torso.features

    def initial_carry(self, batch: int) -> Carry:
        """Return (h, c), each ``[B, cells]`` of zeros; ``()`` without an LSTM."""
        return (torch.zeros(batch, self.features), torch.zeros(batch, self.features)) if self.lstm else ()

    def forward(self, obs: Tensor, carry: Carry, keep: Tensor | None) -> tuple[Tensor, Carry]:
        """Map ``[T, B, *O]`` to ``[T, B, F]`` and the carry after the last step.

        Args:
            obs: observations.
            carry: the state before ``obs[0]``.
            keep: ``[T, B]`` bool, False where the carry is reset to zeros before a step; None if it never is.
        """
        features: Tensor = self.torso(obs.flatten(0, 1)).view(*obs.shape[:2], -1)  # [T, B, F]
        if self.lstm is None:
            return features, carry
        h, c = carry
        outputs = []
        for t, feature in enumerate(features):
            if keep is not None:
                fresh = ~keep[t, :, None]  # [B, 1]
                # a product with the mask would keep a NaN
                h, c = h.masked_fill(fresh, 0.0), c.masked_fill(fresh, 0.0)
            h, c = self.lstm(feature, (h, c))
            outputs.append(h)
        return torch.stack(outputs), (h, c)
