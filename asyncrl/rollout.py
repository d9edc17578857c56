"""The rollout: what an actor-learner hands to its learner, time-major, and the shapes that it promises."""

from typing import NamedTuple, TypeAlias

from torch import Tensor

Carry: TypeAlias = tuple[Tensor, ...]
"""Recurrent state, each ``[B, H]``; ``()`` for a feed-forward network."""


class Rollout(NamedTuple):
    """T consecutive steps of B environments.

    A rollout is cut after ``t_max`` steps, where every environment's episode has just ended, or where any episode was
    truncated, so that ``obs[T]`` is always the state that the last step is bootstrapped from.
    """

    obs: Tensor  # [T+1, B, *O]  uint8 frames or float32 vectors; the last one is only bootstrapped from
    action: Tensor  # [T, B] int64, or [T, B, A] float32
    reward: Tensor  # [T, B] float32  r_i, earned by action i
    discount: Tensor  # [T, B] float32  γ, and 0 where s_{i+1} is terminal; truncation is not termination
    keep: Tensor  # [T+1, B] bool: False where the step before it, if there is one here, was terminal
    next_action: Tensor | None  # [B]  a_t, chosen but not yet taken (Sarsa)
    carry: Carry  # recurrent state before obs[0]; () when feed-forward
