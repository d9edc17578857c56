"""Asynchronous n-step Q-learning (Algorithm S2)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from asyncrl.learners.base import Loss, squared_error
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.networks.heads import Network
from asyncrl.rollout import Act, Carry, Rollout, n_step_returns


@dataclass(frozen=True)
class NStepQ:
    """``R = r_i + γR``, from ``max_a Q(s_t, a; θ⁻)`` back."""

    snapshots: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = False
    exploration: EpsilonGreedy
    target_period: int  # I_target, steps

    def act(self, net: Network[Tensor], obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """Take the best action of the snapshot θ′, or explore."""
        q, carry = net(obs[None], carry)  # [1, B, n]
        epsilon = self.exploration.epsilon(T)
        return Act(self.exploration.choose(q[0], epsilon, generator), carry, epsilon)

    def loss(self, net: Network[Tensor], target: Network[Tensor], rollout: Rollout) -> Loss:
        """Sum ``(R − Q(s_i, a_i; θ′))²`` over the rollout, R constant."""
        q, carry = net(rollout.obs[:-1], rollout.carry, rollout.keep[:-1])  # [T, B, n]
        with torch.no_grad():
            R = self.targets(target, rollout, carry)
        return squared_error(q, rollout.action, R)

    def targets(self, target: Network[Tensor], rollout: Rollout, carry: Carry) -> Tensor:
        """Return R, ``[T, B]``; ``carry`` is θ′'s after the rollout."""
        q_last, _ = target(rollout.obs[-1:], carry, rollout.keep[-1:])  # [1, B, n]
        return n_step_returns(rollout.reward, rollout.discount, q_last[0].max(-1).values)
