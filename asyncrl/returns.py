"""Returns: the one recursion that the n-step methods share."""

import numpy as np
import torch
from torch import Tensor


def n_step_returns(reward: Tensor, discount: Tensor, bootstrap: Tensor) -> Tensor:
    """Return ``R_i = r_i + γ_i R_{i+1}`` with ``R_T`` the bootstrap (Algorithms S2 and S3, the loop over i).

    The last state gets a one-step return, the first up to T steps; a discount of 0 cuts the sum at a terminal.

    Args:
        reward: ``[T, B]``.
        discount: ``[T, B]``, γ or 0.
        bootstrap: ``[B]``, the value of the state after the last step.

    Returns:
        ``[T, B]``.
    """
    r, d, R = reward.numpy(), discount.numpy(), bootstrap.numpy()  # quicker with few numbers
    returns = np.empty_like(r)
    with np.errstate(over="ignore", invalid="ignore"):  # whoever applies the gradient sees it
        for i in reversed(range(len(r))):  # t−1 … t_start
            returns[i] = R = r[i] + d[i] * R
    return torch.from_numpy(returns)
