"""Compiled small networks: a torso and linear layers, evaluated or differentiated by one call.

docs/kernels.md describes the design. Other packages use ``CompiledNetwork``, ``a3c_loss`` and ``squared_error`` only.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from asyncrl.kernels import torso

MAX_LAYERS = 4
Pointers = ctypes.c_void_p * (2 * MAX_LAYERS)
POINTER, INT, FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
# of functions of native.c; with them ctypes takes addresses as integers, which is faster than objects
ARGUMENTS: dict[str, tuple[type, ...]] = {
    "network_forward": (POINTER, INT, POINTER, POINTER),
    "network_backward": (POINTER, INT, POINTER, POINTER),
    "network_sample": (POINTER, INT, *[POINTER] * 4),
    "network_explore": (POINTER, INT, POINTER, INT, *[POINTER] * 5),
    "a3c_loss": (INT, INT, INT, *[POINTER] * 4, FLOAT, FLOAT, POINTER, POINTER),
    "squared_error": (INT, INT, *[POINTER] * 5),
}


class _Struct(ctypes.Structure):
    """``Network`` of native.c."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("torso", "inputs", "hidden", "heads")),
        ("outputs", ctypes.c_int * 2),
        ("parameters", Pointers),
        ("gradients", Pointers),
        *((name, ctypes.c_void_p) for name in ("activations", "flat", "features", "grad_features", "work")),
    )


class CompiledNetwork:
    """A network whose parameters, and their ``.grad`` if there are any, stay where they are."""

    def __init__(
        self, library: ctypes.CDLL, kernels: str, layers: Sequence[Sequence[Tensor]], torso_layers: int, capacity: int
    ) -> None:
        """Prepare calls for up to ``capacity`` states.

        Args:
            library: of ``native.load``.
            kernels: the torso's name in ``torso.ARCHITECTURES``; empty for one hidden layer for vectors.
            layers: weight and bias of each layer: first the torso's, then one or two that read its features.
            torso_layers: how many of them are the torso's.
            capacity: the most states of a call.
        """
        for name, types in ARGUMENTS.items():
            getattr(library, name).argtypes = types
        self._library = library
        self._scratch: dict[int, _Scratch] = {}  # for acting, by the number of states
        heads = layers[torso_layers:]
        hidden, inputs = layers[torso_layers - 1][0].shape
        self.width = sum(len(bias) for _, bias in heads)  # outputs of a state
        planes, sizes = 0, {"features": hidden, "grad_features": hidden}
        if kernels:
            architecture = torso.ARCHITECTURES[kernels]
            planes = architecture.shape[0]
            sizes |= {"activations": sum(architecture.outputs), "flat": inputs, "work": hidden + inputs}
        self._buffers = {name: torch.empty(capacity * size) for name, size in sizes.items()}
        # a reference keeps the memory of each parameter alive
        self._parameters = [each.detach() for layer in layers for each in layer]
        self._gradients = [each.grad for layer in layers for each in layer if each.grad is not None]
        self._struct = _Struct(
            planes,
            inputs,
            hidden,
            len(heads),
            (ctypes.c_int * 2)(*(len(bias) for _, bias in heads)),
            Pointers(*(each.data_ptr() for each in self._parameters)),
            Pointers(*(each.data_ptr() for each in self._gradients)),
            **{name: buffer.data_ptr() for name, buffer in self._buffers.items()},
        )
        self._pointer = ctypes.byref(self._struct)

    def forward(self, obs: Tensor) -> Tensor:
        """Map contiguous ``[N, *O]`` to the outputs of all layers side by side, ``[N, width]``."""
        outputs = torch.empty(len(obs), self.width)
        self._library.network_forward(self._pointer, len(obs), obs.data_ptr(), outputs.data_ptr())
        return outputs

    def sample(self, obs: Tensor, generator: Generator) -> Tensor:
        """Draw ``[N]`` actions from policies whose logits are all outputs but the last one."""
        count = len(obs)
        scratch = self._scratch.get(count) or self._allocate(count)
        scratch.race.exponential_(generator=generator)
        action = torch.empty(count, dtype=torch.int64)
        pointers = (scratch.race.data_ptr(), scratch.outputs.data_ptr(), action.data_ptr())
        self._library.network_sample(self._pointer, count, obs.data_ptr(), *pointers)
        return action

    def explore(self, obs: Tensor, epsilon: Tensor, generator: Generator) -> Tensor:
        """Return for ``[N, *O]`` the ``[N]`` best actions, or any with probability ε, ``[N]`` or ``[1]``."""
        count = len(obs)
        scratch = self._scratch.get(count) or self._allocate(count)
        # the draws of ``EpsilonGreedy.choose``, in its order
        scratch.uniform.uniform_(generator=generator)
        scratch.other.random_(0, self.width, generator=generator)
        action = torch.empty(count, dtype=torch.int64)
        rates = len(epsilon), epsilon.data_ptr()
        pointers = (each.data_ptr() for each in (scratch.uniform, scratch.other, scratch.outputs, action))
        self._library.network_explore(self._pointer, count, obs.data_ptr(), *rates, *pointers)
        return action

    def backward(self, obs: Tensor, grad: Tensor) -> None:
        """Add to each parameter's ``.grad``, from the gradient ``[N, width]`` of outputs.

        The N states must be the first of the last call of ``forward``.
        """
        self._library.network_backward(self._pointer, len(grad), obs.data_ptr(), grad.data_ptr())

    def _allocate(self, count: int) -> "_Scratch":
        self._scratch[count] = found = _Scratch(
            torch.empty(count, self.width),
            torch.empty(count, self.width - 1),
            torch.empty(count),
            torch.empty(count, dtype=torch.int64),
        )
        return found


class _Scratch(NamedTuple):
    """Buffers for acting on N states."""

    outputs: Tensor  # [N, width]
    race: Tensor  # [N, width - 1]
    uniform: Tensor  # [N]
    other: Tensor  # [N] int64


def a3c_loss(
    library: ctypes.CDLL, outputs: Tensor, rollout: Any, entropy: float, value_weight: float
) -> tuple[Tensor, Sequence[float]]:
    """Return the gradient of A3C's loss with respect to outputs, and sums over the rollout.

    Args:
        library: of ``native.load``.
        outputs: ``[(T + 1) B, n + 1]``, logits and a value of each state.
        rollout: of T steps of B environments, with contiguous tensors.
        entropy: β.
        value_weight: of ½(R − V)².

    Returns:
        The gradient ``[T B, n + 1]``; the sums of the loss, of entropies and of values.
    """
    T, B = rollout.reward.shape
    grad, sums = torch.empty(T * B, outputs.shape[1]), (ctypes.c_double * 3)()
    inputs = (each.data_ptr() for each in (outputs, rollout.action, rollout.reward, rollout.discount))
    library.a3c_loss(T, B, outputs.shape[1] - 1, *inputs, entropy, value_weight, grad.data_ptr(), sums)
    return grad, list(sums)


def squared_error(library: ctypes.CDLL, q: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Sequence[float]]:
    """Return the gradient ``[N, n]`` of the sum of squared errors with respect to ``q``, and sums over the states.

    Args:
        library: of ``native.load``.
        q: ``[N, n]``.
        action: N int64.
        target: N numbers.

    Returns:
        The gradient; the sums of squared errors, of their absolute values and of all of q.
    """
    grad, sums = torch.empty_like(q), (ctypes.c_double * 3)()
    inputs = (each.data_ptr() for each in (q, action, target))
    library.squared_error(len(q), q.shape[1], *inputs, grad.data_ptr(), sums)
    return grad, list(sums)
