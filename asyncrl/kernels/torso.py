"""The compiled torsos: the same numbers as ``Frames``' layers, to rounding, in a fraction of the time."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asyncrl.kernels import native

Weights = tuple[Tensor, ...]  # weight and bias of each layer


class Kernels(NamedTuple):
    """Those of one architecture, for ``[N, 4, 84, 84]`` uint8 frames."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    sizes: tuple[int, int, int]  # of one state's activations, of the last ones, of the features


class Record(NamedTuple):
    """What forward computed for N states, as backward needs it."""

    activations: Tensor  # [N, A]
    flat: Tensor  # [N, D]  the last of them, before the hidden layer
    features: Tensor  # [N, F]
    before: int = 0  # how many states before each, if so many are there, lies the same game's last one; 0: unknown

    @property
    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return what has a row for each state."""
        return self[:3]


STATE = (4, 84, 84)  # the shape of one, uint8
BYTES = 4 * 84 * 84
OUTPUTS = {  # of each convolution; of the hidden layer
    "nips": ((16 * 20 * 20, 32 * 9 * 9), 256),
    "nature": ((32 * 20 * 20, 64 * 9 * 9, 64 * 7 * 7), 512),
}


@cache
def kernels(name: str) -> Kernels | None:
    """Return the kernels for an architecture; None where there is no compiled part."""
    library = native.library()
    if library is None:
        return None
    outputs, hidden = OUTPUTS[name]
    forward, backward = getattr(library, f"{name}_forward"), getattr(library, f"{name}_backward")
    return Kernels(forward, backward, (sum(outputs), outputs[-1], hidden))


class ActivationCache:
    """What acting computed, so that learning from the same states need not compute it again.

    It knows states by their place in memory, and holds for one set of weights and one rollout: whoever changes the
    weights, or writes other states to that place, must call ``clear``. Most of a frame is as it was in the last one,
    and so is what is computed from it: kernels copy that.
    """

    def __init__(self, kernels: Kernels, capacity: int) -> None:
        """Make room for ``capacity`` states."""
        self._record = _empty(kernels, capacity)
        self._parts: dict[tuple[int, int, int], Record] = {}  # rollouts have the same ones again and again
        self._capacity, self._count = capacity, 0
        self._batch = 0  # states that were put there at once: so far before each lies the same game's last one
        self._first: Tensor | None = None  # states; held, so that no others can be where they are

    def clear(self) -> None:
        """Empty it."""
        self._count = 0

    def place(self, obs: Tensor) -> Record | None:
        """Return where to put what is computed for states that lie behind those known; None if they do not."""
        if self._count == 0 or self._first is None:
            self._first, self._batch = obs, len(obs)
        known, new = self._count, len(obs)
        if obs.data_ptr() != self._first.data_ptr() + known * BYTES or known + new > self._capacity:
            return None
        self._count += new
        before = self._batch if new <= self._batch <= known else 0  # finished by an earlier call
        return self._part(known, known + new, before)

    def lookup(self, obs: Tensor) -> Record | None:
        """Return what is known of states, the first ones since it was emptied; None where not all are known."""
        if self._first is None or obs.data_ptr() != self._first.data_ptr() or len(obs) > self._count:
            return None
        return self._part(0, len(obs), self._batch)

    def _part(self, start: int, end: int, before: int) -> Record:
        if (part := self._parts.get((start, end, before))) is None:
            activations, flat, features = self._record.rows
            part = Record(activations[start:end], flat[start:end], features[start:end], before)
            self._parts[start, end, before] = part
        return part


def _empty(kernels: Kernels, capacity: int) -> Record:
    activations, flat, features = (torch.empty(capacity, size, dtype=torch.float32) for size in kernels.sizes)
    return Record(activations, flat, features)


def features(kernels: Kernels, cached: ActivationCache | None, obs: Tensor, weights: Weights) -> Tensor:
    """Map ``[N, 4, 84, 84]`` uint8 to ``[N, F]``, differentiable in the weights, in as many threads as torch has.

    Where all weights have a ``.grad``, backward adds to that itself, which spares a pass over it;
    ``torch.autograd.grad`` then has nothing to return.
    """
    if torch.is_grad_enabled():
        result: Tensor = _Features.apply(kernels, cached, obs, *weights)  # type: ignore[no-untyped-call]
        return result
    place = cached.place(obs) if cached else None
    return _forward(kernels, obs, weights, place).features


def _forward(kernels: Kernels, obs: Tensor, weights: Weights, place: Record | None) -> Record:
    record = place or _empty(kernels, len(obs))
    parameters = native.pointers(weights)

    def compute(start: int, count: int) -> None:
        frames, *to = (native.pointer(rows, start) for rows in (obs, *record.rows))
        kernels.forward(count, ctypes.c_size_t(record.before), frames, parameters, *to)

    _in_parallel(compute, *_parts(len(obs)))
    return record


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, cached: ActivationCache | None, obs: Tensor, *weights: Tensor) -> Tensor:
        known = cached.lookup(obs) if cached else None
        record = known or _forward(kernels, obs, weights, None)
        ctx.kernels, ctx.before = kernels, ctypes.c_size_t(record.before)
        ctx.save_for_backward(obs, *record.rows, *weights)
        return record.features.clone() if known else record.features  # autograd must own what it returns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        obs, activations, flat, features, *weights = ctx.saved_tensors
        kernels, parameters = ctx.kernels, native.pointers(weights)
        grad = grad.contiguous()  # it must live until the kernels are done
        work = flat.new_empty(len(obs), flat.shape[1] + features.shape[1])
        in_place = all(weight.grad is not None and weight.grad.is_contiguous() for weight in weights)
        total = [weight.grad if in_place else torch.zeros_like(weight) for weight in weights]
        starts, counts = _parts(len(obs))
        others = [[torch.zeros_like(weight) for weight in weights] for _ in starts[1:]]

        def compute(start: int, count: int, to: list[Tensor]) -> None:
            rows = (obs, activations, flat, features, grad, work)
            frames, *given, mine = (native.pointer(each, start) for each in rows)
            kernels.backward(count, ctx.before, frames, parameters, *given, native.pointers(to), mine)

        _in_parallel(compute, starts, counts, [total, *others])
        for part in others:
            for gradient, more in zip(total, part, strict=True):
                gradient += more
        return (None, None, None, *([None] * len(weights) if in_place else total))


def _parts(count: int) -> tuple[list[int], list[int]]:
    """Cut ``count`` states into a part for each of torch's threads; return where they start, and their sizes."""
    threads = max(1, min(torch.get_num_threads(), count))
    if threads == 1:
        return [0], [count]
    bounds = [count * i // threads for i in range(threads + 1)]
    return bounds[:-1], [end - start for start, end in pairwise(bounds)]


def _in_parallel(compute: Callable[..., None], *arguments: list[Any]) -> None:
    """Call ``compute`` with each of the arguments, all at once; it must not use torch's own threads."""
    if len(arguments[0]) == 1:
        compute(*(each[0] for each in arguments))
    else:
        list(_pool(torch.get_num_threads()).map(compute, *arguments))  # the list raises what one of them has raised


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        threads, initializer=torch.set_flush_denormal, initargs=(True,)
    )  # it is each thread's own
