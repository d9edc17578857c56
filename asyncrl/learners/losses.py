"""The losses of the learners, with their gradients in closed form.

A rollout has few numbers, so that the time of a loss is that of calling its operations. Autograd calls about forty for
one of these losses; the closed form calls a few of numpy, and gives the same gradients.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asyncrl.learners.base import Loss
from asyncrl.networks.distributions import Softmax
from asyncrl.networks.heads import PolicyValue


def squared_error(q: Tensor, action: Tensor, target: Tensor) -> Loss:
    """Return the sum of ``(target − Q(s, a))²``, where the target is constant.

    Args:
        q: ``[T, B, n]``, the network's output.
        action: ``[T, B]`` int64.
        target: ``[T, B]``, without a gradient.
    """
    total, error = _SquaredError.apply(q, action, target)  # type: ignore[no-untyped-call]
    return Loss(total, {"td_error": error.abs().mean(), "q": q.detach().mean()})


def actor_critic(outputs: PolicyValue, action: Tensor, R: Tensor, entropy: float, value_weight: float) -> Loss:
    """Return the sum of ``value_weight · ½(R − V)² − log π(a|s) A − entropy · H(π(s))``, where A = R − V is constant.

    Args:
        outputs: the network's, for ``[T, B]`` states.
        action: ``[T, B]`` int64, or ``[T, B, A]`` float32.
        R: ``[T, B]``, the returns, without a gradient.
        entropy: β.
        value_weight: of the value's loss.
    """
    policy, V = outputs
    if isinstance(policy, Softmax):
        total, H = _SoftmaxActorCritic.apply(policy.log_pi, V, action, R, entropy, value_weight)  # type: ignore[no-untyped-call]
    else:
        advantage, H = R - V, policy.entropy()
        gain = policy.log_prob(action) * advantage.detach() + entropy * H  # [T, B]
        total = (value_weight * 0.5 * advantage**2 - gain).sum()
    return Loss(total, {"entropy": H.detach().mean(), "value": V.detach().mean()})


class _SquaredError(torch.autograd.Function):
    """Maps q to the sum and to the errors ``[T, B]``."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape, ctx.taken = q.shape, _indices(action)
        with np.errstate(over="ignore", invalid="ignore"):  # the worker skips a gradient that is not finite
            ctx.error = target.numpy().reshape(-1) - _rows(q)[ctx.taken]
            total = q.new_tensor((ctx.error**2).sum())
        error = torch.from_numpy(ctx.error)
        ctx.mark_non_differentiable(error)
        return total, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        gradient = np.zeros(ctx.shape, ctx.error.dtype)
        gradient.reshape(-1, ctx.shape[-1])[ctx.taken] = (-2 * float(grad)) * ctx.error
        return torch.from_numpy(gradient), None, None


class _SoftmaxActorCritic(torch.autograd.Function):
    """Maps log π ``[T, B, n]`` and V ``[T, B]`` to the sum and to the entropies of all states."""

    @staticmethod
    def forward(
        ctx: Any, log_pi: Tensor, V: Tensor, action: Tensor, R: Tensor, entropy: float, value_weight: float
    ) -> tuple[Tensor, Tensor]:
        taken, log_p = _indices(action), _rows(log_pi)
        p = np.exp(log_p)
        with np.errstate(over="ignore", invalid="ignore"):  # the worker skips a gradient that is not finite
            advantage = R.numpy().reshape(-1) - V.detach().numpy().reshape(-1)
            H = -(p * log_p).sum(-1)
            gain = log_p[taken] * advantage + entropy * H
            total = V.new_tensor((value_weight * 0.5 * advantage**2 - gain).sum())
        ctx.shape, ctx.weights, ctx.arrays = log_pi.shape, (entropy, value_weight), (taken, log_p, p, advantage)
        entropies = torch.from_numpy(H)
        ctx.mark_non_differentiable(entropies)
        return total, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        taken, log_p, p, advantage = ctx.arrays
        entropy, value_weight = ctx.weights
        scale = float(grad)
        # of −βH(π)
        d_log_pi = (scale * entropy) * p * (log_p + 1)
        # of −log π(a|s) A, where A is constant
        d_log_pi[taken] -= scale * advantage
        d_value = (-scale * value_weight) * advantage
        gradients = torch.from_numpy(d_log_pi).view(ctx.shape), torch.from_numpy(d_value).view(ctx.shape[:-1])
        return *gradients, None, None, None, None


def _rows(values: Tensor) -> Any:
    """Return ``[T, B, n]`` as an array ``[T · B, n]``."""
    return values.detach().numpy().reshape(-1, values.shape[-1])


def _indices(action: Tensor) -> Any:
    """Return the index of each state's action in ``_rows``."""
    taken = action.numpy().reshape(-1)
    return np.arange(len(taken)), taken
