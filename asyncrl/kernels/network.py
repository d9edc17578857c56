"""Compiled small networks: a torso and linear layers, evaluated or differentiated by one call.

docs/kernels.md describes the design. Other packages use ``CompiledNetwork``, ``sample_actions``, ``a3c_loss`` and
``squared_error`` only.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from asyncrl.kernels import native, torso

MAX_LAYERS = 4
Pointers = ctypes.c_void_p * (2 * MAX_LAYERS)


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
        self._library = library
        heads = layers[torso_layers:]
        hidden, inputs = layers[torso_layers - 1][0].shape
        planes = torso.ARCHITECTURES[kernels].shape[0] if kernels else 0
        self.width = sum(len(bias) for _, bias in heads)  # outputs of a state
        sizes = {"activations": 16 * 8 * 8, "flat": inputs} if kernels else {}
        sizes |= {"features": hidden, "grad_features": hidden, "work": hidden + inputs}
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
        self._library.network_forward(self._pointer, len(obs), native.pointer(obs), native.pointer(outputs))
        return outputs

    def backward(self, obs: Tensor, grad: Tensor) -> None:
        """Add to each parameter's ``.grad``, from the gradient ``[N, width]`` of outputs.

        The N states must be the first of the last call of ``forward``.
        """
        self._library.network_backward(self._pointer, len(grad), native.pointer(obs), native.pointer(grad))


def sample_actions(library: ctypes.CDLL, outputs: Tensor, n: int, race: Tensor) -> Tensor:
    """Draw ``[N]`` actions from policies whose logits are the first n of ``[N, width]``.

    ``race`` ``[N, n]`` is drawn from an exponential distribution.
    """
    action = torch.empty(len(outputs), dtype=torch.int64)
    pointers = (native.pointer(tensor) for tensor in (outputs, race, action))
    library.sample_actions(len(outputs), n, outputs.shape[1], *pointers)
    return action


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
    inputs = (native.pointer(each) for each in (outputs, rollout.action, rollout.reward, rollout.discount))
    weights = ctypes.c_float(entropy), ctypes.c_float(value_weight)
    library.a3c_loss(T, B, outputs.shape[1] - 1, *inputs, *weights, native.pointer(grad), sums)
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
    inputs = (native.pointer(each) for each in (q, action, target))
    library.squared_error(len(q), q.shape[1], *inputs, native.pointer(grad), sums)
    return grad, list(sums)
