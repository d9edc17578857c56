"""The compiled torsos: the same results as the layers of ``networks.torsos.Frames`` up to rounding, and faster.

docs/kernels.md describes the design and the invariants. Other packages use ``Kernels``, ``find``, ``load_kernels``,
``ActivationCache`` and ``compute_features`` only.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asyncrl.kernels import native

# weight and bias of each layer
Weights = tuple[Tensor, ...]


class Architecture(NamedTuple):
    """The sizes that kernels were compiled for."""

    shape: tuple[int, int, int]  # of one state, (C, H, W)
    dtype: torch.dtype  # of states, one byte a pixel
    outputs: tuple[int, ...]  # numbers of outputs of each convolution
    hidden: int  # units of the hidden layer


class Kernels(NamedTuple):
    """The kernels of one architecture."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    sizes: tuple[int, int, int]  # A, D, F of ForwardPass
    dtype: torch.dtype  # of states
    state_bytes: int  # of one state


class ForwardPass(NamedTuple):
    """The results of forward for N states, which backward needs."""

    activations: Tensor  # [N, A]  of all convolutions
    flat: Tensor  # [N, D]  of the last convolution, the input of the hidden layer
    features: Tensor  # [N, F]
    # row n − rows_per_step has the same game's previous state; 0: unknown
    rows_per_step: int = 0

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tensors, each with a row for each state."""
        return self[:3]


ARCHITECTURES = {
    "nips": Architecture((4, 84, 84), torch.uint8, (16 * 20 * 20, 32 * 9 * 9), 256),
    "nature": Architecture((4, 84, 84), torch.uint8, (32 * 20 * 20, 64 * 9 * 9, 64 * 7 * 7), 512),
    "compact": Architecture((4, 42, 42), torch.uint8, (32 * 20 * 20, 64 * 9 * 9, 64 * 4 * 4), 512),
    # the planes of MinAtar's games
    **{f"minatar_{planes}": Architecture((planes, 10, 10), torch.bool, (16 * 8 * 8,), 128) for planes in (4, 6, 7, 10)},
}


def find(network: str, shape: Sequence[int], dtype: str) -> str | None:
    """Return the name of a network's kernels for ``(C, H, W)`` states of a type; None if there are none."""
    states = tuple(shape), getattr(torch, dtype)
    names = [network, f"{network}_{shape[0]}"]
    return next((name for name in names if name in ARCHITECTURES and ARCHITECTURES[name][:2] == states), None)


@cache
def load_kernels(name: str) -> Kernels | None:
    """Return the kernels that ``find`` named; None if the compiled library cannot be used."""
    library = native.load()
    if library is None:
        return None
    shape, dtype, outputs, hidden = ARCHITECTURES[name]
    forward, backward = getattr(library, f"{name}_forward"), getattr(library, f"{name}_backward")
    return Kernels(forward, backward, (sum(outputs), outputs[-1], hidden), dtype, math.prod(shape))


class ActivationCache:
    """Results of forward that acting computed, which the loss of the same rollout reuses.

    States are identified by their address. The cache is valid for one set of weights and one rollout: after a change of
    the weights, or of the states at these addresses, the owner must call ``clear``. Most pixels are the same as in the
    game's previous state; the kernels copy the activations that depend on these pixels only.
    """

    def __init__(self, kernels: Kernels, capacity: int) -> None:
        """Allocate memory for ``capacity`` states."""
        self._results = _allocate(kernels, capacity)
        self._state_bytes = kernels.state_bytes
        # views by (start, end, rows_per_step): all rollouts use the same few
        self._views: dict[tuple[int, int, int], ForwardPass] = {}
        self._capacity, self._count = capacity, 0
        # states in the first call, one for each game
        self._batch = 0
        # the first states; the reference keeps their memory from being reused
        self._first: Tensor | None = None

    def clear(self) -> None:
        """Forget all states."""
        self._count = 0

    def reserve(self, obs: Tensor) -> ForwardPass | None:
        """Return memory for the results of states that follow the cached ones in memory; None if they do not."""
        if self._count == 0 or self._first is None:
            self._first, self._batch = obs, len(obs)
        known, new = self._count, len(obs)
        if obs.data_ptr() != self._first.data_ptr() + known * self._state_bytes or known + new > self._capacity:
            return None
        self._count += new
        # in a larger batch a previous state may be computed at the same time, by another thread
        rows_per_step = self._batch if new <= self._batch <= known else 0
        return self._view(known, known + new, rows_per_step)

    def lookup(self, obs: Tensor) -> ForwardPass | None:
        """Return the results for states that start with the first cached one; None if any of them is not cached."""
        if self._first is None or obs.data_ptr() != self._first.data_ptr() or len(obs) > self._count:
            return None
        return self._view(0, len(obs), self._batch)

    def _view(self, start: int, end: int, rows_per_step: int) -> ForwardPass:
        if (view := self._views.get((start, end, rows_per_step))) is None:
            activations, flat, features = self._results.tensors
            view = ForwardPass(activations[start:end], flat[start:end], features[start:end], rows_per_step)
            self._views[start, end, rows_per_step] = view
        return view


def compute_features(kernels: Kernels, cached: ActivationCache | None, obs: Tensor, weights: Weights) -> Tensor:
    """Map ``[N, C, H, W]`` bytes to ``[N, F]``, differentiable in the weights, with torch's number of threads.

    If all weights have a ``.grad``, backward adds to it in place, which saves a pass over the gradient;
    ``torch.autograd.grad`` then has nothing to return.
    """
    if torch.is_grad_enabled():
        result: Tensor = _Features.apply(kernels, cached, obs, *weights)  # type: ignore[no-untyped-call]
        return result
    return _forward(kernels, obs, weights, cached.reserve(obs) if cached else None).features


def _allocate(kernels: Kernels, count: int) -> ForwardPass:
    activations, flat, features = (torch.empty(count, size, dtype=torch.float32) for size in kernels.sizes)
    return ForwardPass(activations, flat, features)


def _forward(kernels: Kernels, obs: Tensor, weights: Weights, reserved: ForwardPass | None) -> ForwardPass:
    results = reserved or _allocate(kernels, len(obs))
    parameters = native.pointers(weights)

    def compute(start: int, count: int) -> None:
        frames, *outputs = (native.pointer(tensor, start) for tensor in (obs, *results.tensors))
        kernels.forward(count, ctypes.c_size_t(results.rows_per_step), frames, parameters, *outputs)

    _in_parallel(compute, *_parts(len(obs)))
    return results


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, cached: ActivationCache | None, obs: Tensor, *weights: Tensor) -> Tensor:
        known = cached.lookup(obs) if cached else None
        results = known or _forward(kernels, obs, weights, None)
        ctx.kernels, ctx.rows_per_step = kernels, ctypes.c_size_t(results.rows_per_step)
        ctx.save_for_backward(obs, *results.tensors, *weights)
        # autograd must own the tensor that forward returns
        return results.features.clone() if known else results.features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        obs, activations, flat, features, *weights = ctx.saved_tensors
        kernels, parameters = ctx.kernels, native.pointers(weights)
        # this reference keeps a copy alive until the kernels end
        grad = grad.contiguous()
        work = flat.new_empty(len(obs), flat.shape[1] + features.shape[1])
        in_place = all(weight.grad is not None and weight.grad.is_contiguous() for weight in weights)
        total = [weight.grad if in_place else torch.zeros_like(weight) for weight in weights]
        starts, counts = _parts(len(obs))
        # each further thread sums into gradients of its own
        others = [[torch.zeros_like(weight) for weight in weights] for _ in starts[1:]]

        def compute(start: int, count: int, gradients: list[Tensor]) -> None:
            tensors = (obs, activations, flat, features, grad, work)
            frames, *inputs, buffer = (native.pointer(tensor, start) for tensor in tensors)
            kernels.backward(count, ctx.rows_per_step, frames, parameters, *inputs, native.pointers(gradients), buffer)

        _in_parallel(compute, starts, counts, [total, *others])
        for part in others:
            for gradient, more in zip(total, part, strict=True):
                gradient += more
        return (None, None, None, *([None] * len(weights) if in_place else total))


def _parts(count: int) -> tuple[list[int], list[int]]:
    """Divide ``count`` states among torch's threads; return the start and the size of each part."""
    threads = max(1, min(torch.get_num_threads(), count))
    if threads == 1:
        return [0], [count]
    bounds = [count * i // threads for i in range(threads + 1)]
    return bounds[:-1], [end - start for start, end in pairwise(bounds)]


def _in_parallel(compute: Callable[..., None], *arguments: list[Any]) -> None:
    """Call ``compute`` with each of the arguments at the same time; it must not use torch's threads."""
    if len(arguments[0]) == 1:
        compute(*(each[0] for each in arguments))
    else:
        # list() raises an exception of any of the calls
        list(_pool(torch.get_num_threads()).map(compute, *arguments))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # flushing denormals is a setting of each thread
    return ThreadPoolExecutor(threads, initializer=torch.set_flush_denormal, initargs=(True,))
