"""A stream of experience: B environments, the carry, and the buffers that rollouts are views of."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asyncrl.envs.base import Array, Box, Environments, Game
from asyncrl.learners.base import Act
from asyncrl.rollout import Carry, Rollout

CARRIES = "carry.", "planned.carry."

Actor = Callable[[Tensor, Carry], Act]


class Stream:
    """Steps B environments and keeps what must live from one rollout to the next."""

    def __init__(
        self,
        environments: Environments,
        seeds: Sequence[int],
        t_max: int,
        gamma: float,
        fresh: Carry,
        looks_ahead: bool,
    ) -> None:
        """Start all environments.

        Args:
            environments: B of them.
            seeds: B seeds.
            t_max: the longest rollout, in steps.
            gamma: γ.
            fresh: the carry at the start of an episode, each ``[B, H]``.
            looks_ahead: whether rollouts need the action after the last (Sarsa).
        """
        spec, batch = environments.spec, environments.num_envs
        self._environments, self._t_max, self._gamma, self._looks_ahead = environments, t_max, gamma, looks_ahead
        self._obs = torch.empty(t_max + 1, batch, *spec.obs_shape, dtype=getattr(torch, spec.obs_dtype))
        actions = torch.empty(batch, spec.actions.size) if isinstance(spec.actions, Box) else torch.empty(batch).long()
        self._action = actions.expand(t_max, *actions.shape).clone()
        self._reward = torch.empty(t_max, batch)
        self._discount = torch.empty(t_max, batch)
        self._keep = torch.ones(t_max + 1, batch, dtype=torch.bool)
        buffers = (self._obs, self._action, self._reward, self._discount, self._keep)
        self._arrays = tuple(buffer.numpy() for buffer in buffers)  # the same memory, quicker to write single steps to
        self._fresh = fresh
        self.begin(seeds)

    def begin(self, seeds: Sequence[int]) -> None:
        """Start B episodes from B seeds."""
        self._current = torch.from_numpy(self._environments.reset(seeds))  # [B, *O]  to act on next
        self._carry = self._fresh
        self._planned: Act | None = None  # chosen for the current observation, not yet taken

    def state(self) -> dict[str, Array]:
        """Return what must live on besides the environments; observations are enough to recognise them by."""
        planned = () if self._planned is None else self._planned.carry
        tensors = {f"carry.{i}": part for i, part in enumerate(self._carry)}
        tensors |= {f"planned.carry.{i}": part for i, part in enumerate(planned)}
        if self._planned is not None:
            tensors["planned.action"] = self._planned.action
            if self._planned.epsilon is not None:
                tensors["planned.epsilon"] = self._planned.epsilon
        return {name: tensor.numpy().copy() for name, tensor in (tensors | {"current": self._current}).items()}

    def restore(self, state: Mapping[str, Array], obs: Array) -> bool:
        """Go on where a stream stopped; say no, and do nothing, if ``[B, *O]`` is not what it saw then."""
        if not np.array_equal(state["current"], obs):
            return False
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        carries = [tuple(tensors[key] for key in sorted(tensors) if key.startswith(kind)) for kind in CARRIES]
        self._current, self._carry = tensors["current"], carries[0]
        if "planned.action" in tensors:
            self._planned = Act(tensors["planned.action"], carries[1], tensors.get("planned.epsilon"))
        return True

    @torch.no_grad()
    def collect(self, act: Actor) -> tuple[Rollout, list[tuple[Game, float | None]]]:
        """Take up to ``t_max`` steps.

        Returns:
            The rollout, its tensors valid until the next call; and the games that ended, each with the ε it ended on.
        """
        obs, action, reward, discount, keep = self._arrays
        obs[0] = self._current
        carry = self._carry
        games = []
        for i in range(self._t_max):
            choice = self._planned or act(self._obs[i], self._carry)
            self._planned = None
            action[i] = taken = choice.action.numpy()
            step = self._environments.step(taken)
            reward[i] = step.reward
            keep[i + 1] = ~step.terminated
            discount[i] = keep[i + 1] * self._gamma
            obs[i + 1] = step.successor
            ended = step.terminated | step.truncated
            self._carry = forget(choice.carry, ended)
            games += [(game, _rate(choice.epsilon, game.env)) for game in step.games]
            if ended.any() and (ended.all() or step.truncated.any()):
                break
        self._current = torch.from_numpy(step.obs)
        end = i + 1
        next_action = None
        if self._looks_ahead:
            self._planned = act(self._current, self._carry)
            next_action = self._planned.action
            if step.truncated.any():  # a′ of the state really reached, not of the new episode's first
                reached = act(self._obs[end], choice.carry).action
                next_action = torch.where(torch.from_numpy(step.truncated), reached, next_action)
        steps = self._action[:end], self._reward[:end], self._discount[:end]
        return Rollout(self._obs[: end + 1], *steps, self._keep[: end + 1], next_action, carry), games


def forget(carry: Carry, ended: NDArray[np.bool_]) -> Carry:
    """Return the carry with zeros where an episode of ``[B]`` has ended."""
    if not carry or not ended.any():
        return carry
    fresh = torch.from_numpy(ended)[:, None]  # [B, 1]
    return tuple(part.masked_fill(fresh, 0.0) for part in carry)  # a product would keep a NaN


def _rate(epsilon: Tensor | None, env: int) -> float | None:
    return None if epsilon is None else float(epsilon[env if len(epsilon) > 1 else 0])
