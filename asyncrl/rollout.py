"""Rollouts: what they hold, how a stream of experience is cut into them, and the returns over them."""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asyncrl.envs.base import Environments, Episode

Carry: TypeAlias = tuple[Tensor, ...]
"""Recurrent state, each ``[B, H]``; ``()`` for a feed-forward network."""


class Act(NamedTuple):
    """A decision for B environments."""

    action: Tensor  # [B] or [B, K] int64, or [B, A] float32
    carry: Carry  # after this observation; the caller keeps it for the next call
    epsilon: Tensor | None = None  # [B]  exploration; None for a policy


class Rollout(NamedTuple):
    """T consecutive steps of B environments, time-major.

    A rollout is cut after ``t_max`` steps, where every environment's episode has just ended, or where any episode was
    truncated, so that ``obs[T]`` is always the state that the last step is bootstrapped from.
    """

    obs: Tensor  # [T+1, B, *O]  of the type Spec.obs_dtype; the last one is only bootstrapped from
    action: Tensor  # [T, B] or [T, B, K] int64, or [T, B, A] float32
    reward: Tensor  # [T, B] float32  r_i, earned by action i
    discount: Tensor  # [T, B] float32  γ, and 0 where s_{i+1} is terminal; truncation is not termination
    keep: Tensor  # [T+1, B] bool: False where the previous step of this rollout was terminal: the carry is reset there
    next_action: Tensor | None  # [B]  a_t, chosen but not yet taken (Sarsa)
    carry: Carry  # recurrent state before obs[0]; () when feed-forward


def n_step_returns(reward: Tensor, discount: Tensor, bootstrap: Tensor) -> Tensor:
    """Return ``R_i = r_i + γ_i R_{i+1}`` with ``R_T`` the bootstrap (Algorithms S2 and S3, the loop over i).

    Args:
        reward: ``[T, B]``.
        discount: ``[T, B]``, γ or 0; a discount of 0 cuts the sum at a terminal state.
        bootstrap: ``[B]``, the value of the state after the last step.

    Returns:
        ``[T, B]``: the last state gets a one-step return, the first up to T steps.
    """
    r, d, R = reward.numpy(), discount.numpy(), bootstrap.numpy()  # numpy is faster with few numbers
    returns = np.empty_like(r)
    with np.errstate(over="ignore", invalid="ignore"):  # the worker skips a gradient that is not finite
        for i in reversed(range(len(r))):  # t−1 … t_start
            returns[i] = R = r[i] + d[i] * R
    return torch.from_numpy(returns)


class Stream:
    """Collects rollouts from B environments; between rollouts it keeps observation, carry and planned action."""

    def __init__(
        self, environments: Environments, seeds: Sequence[int], t_max: int, gamma: float, fresh: Carry, look_ahead: bool
    ) -> None:
        """Start B episodes.

        Args:
            environments: B of them.
            seeds: B seeds.
            t_max: the longest rollout, in steps.
            gamma: γ.
            fresh: the carry at the start of an episode, each ``[B, H]``.
            look_ahead: whether a rollout needs the action after its last step (Sarsa).
        """
        spec, batch = environments.spec, environments.num_envs
        self._environments, self._t_max, self._gamma, self._look_ahead = environments, t_max, gamma, look_ahead
        self._obs = torch.empty(t_max + 1, batch, *spec.obs_shape, dtype=getattr(torch, spec.obs_dtype))
        chosen = torch.int64 if spec.actions.choices else None  # None: torch's default, as rewards have
        self._action = torch.empty(t_max, batch, *spec.actions.shape, dtype=chosen)
        self._reward = torch.empty(t_max, batch)
        self._discount = torch.empty(t_max, batch)
        self._keep = torch.ones(t_max + 1, batch, dtype=torch.bool)
        buffers = (self._obs, self._action, self._reward, self._discount, self._keep)
        self._arrays = tuple(buffer.numpy() for buffer in buffers)  # the same memory: numpy writes single steps faster
        self._states = list(self._obs)  # [B, *O] each
        self._fresh = fresh
        self.reset(seeds)

    def reset(self, seeds: Sequence[int]) -> None:
        """Start B episodes from B seeds."""
        self.current = torch.from_numpy(self._environments.reset(seeds))  # [B, *O]  to act on next
        self.carry = self._fresh
        self.planned: Act | None = None  # chosen for the current observation, not yet taken
        self.is_cut = False  # whether the present rollout has taken its last step

    def collect(
        self, act: Callable[[Tensor, Carry], Act]
    ) -> Generator[str, None, tuple[Rollout, list[tuple[Episode, float | None]]]]:
        """Take up to ``t_max`` steps; yield ``"act"`` and ``"environment"`` as these phases end.

        Returns:
            The rollout, its tensors valid until the next call; and the episodes that ended, each with the ε at its end.
        """
        obs, action, reward, discount, keep = self._arrays
        obs[0] = self.current
        carry = self.carry
        self.is_cut = False
        episodes = []
        for i in range(self._t_max):
            if self.planned is None:
                choice = act(self._states[i], self.carry)
                yield "act"
            else:
                choice, self.planned = self.planned, None
            action[i] = taken = choice.action.numpy()
            step = self._environments.step(taken)
            reward[i] = step.reward
            keep[i + 1] = step.terminated  # inverted below
            obs[i + 1] = step.successor
            ended = step.terminated | step.truncated
            self.carry = reset_carry(choice.carry, ended)
            if step.episodes:
                episodes += [(episode, _epsilon_of(choice.epsilon, episode.env)) for episode in step.episodes]
            flags = ended.tolist()  # Python is faster with few of them
            self.is_cut = i + 1 == self._t_max or (any(flags) and (all(flags) or bool(step.truncated.any())))
            yield "environment"
            if self.is_cut:
                break
        self.current = torch.from_numpy(step.obs)
        end = i + 1
        np.logical_not(keep[1 : end + 1], out=keep[1 : end + 1])
        np.multiply(keep[1 : end + 1], self._gamma, out=discount[:end])
        next_action = None
        if self._look_ahead:
            self.planned = act(self.current, self.carry)
            next_action = self.planned.action
            yield "act"
            if step.truncated.any():  # a′ for the truncated state, not for the new episode
                reached = act(self._obs[end], choice.carry).action
                next_action = torch.where(torch.from_numpy(step.truncated), reached, next_action)
                yield "act"
        per_step = self._action[:end], self._reward[:end], self._discount[:end]
        return Rollout(self._obs[: end + 1], *per_step, self._keep[: end + 1], next_action, carry), episodes


def reset_carry(carry: Carry, ended: NDArray[np.bool_]) -> Carry:
    """Return the carry with zeros where an episode of ``[B]`` has ended."""
    if not carry or not ended.any():
        return carry
    mask = torch.from_numpy(ended)[:, None]  # [B, 1]
    return tuple(part.masked_fill(mask, 0.0) for part in carry)  # multiplication by 0 would keep a NaN


def _epsilon_of(epsilon: Tensor | None, env: int) -> float | None:
    return None if epsilon is None else float(epsilon[env if len(epsilon) > 1 else 0])
