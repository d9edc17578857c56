"""Asynchronous one-step Q-learning (Algorithm 1)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from asyncrl.learners.base import Loss, squared_error
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.networks.heads import Network
from asyncrl.rollout import Act, Carry, Rollout


@dataclass(frozen=True)
class OneStepQ:
    """``y = r + γ max_a′ Q(s′, a′; θ⁻)``."""

    snapshots: ClassVar[bool] = False
    looks_ahead: ClassVar[bool] = False
    exploration: EpsilonGreedy
    target_period: int  # I_target, steps

    def act(self, net: Network[Tensor], obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """Take the best action of the shared θ, or explore."""
        q, carry = net(obs[None], carry)  # [1, B, n]
        epsilon = self.exploration.epsilon(T)
        return Act(self.exploration.choose(q[0], epsilon, generator), carry, epsilon)

    def loss(self, net: Network[Tensor], target: Network[Tensor], rollout: Rollout) -> Loss:
        """Sum ``(y − Q(s, a; θ))²`` over the rollout, y constant."""
        q, carry = net(rollout.obs[:-1], rollout.carry, rollout.keep[:-1])  # [T, B, n]
        with torch.no_grad():
            y = self.targets(target, rollout, carry)
        return squared_error(q, rollout.action, y)

    def targets(self, target: Network[Tensor], rollout: Rollout, carry: Carry) -> Tensor:
        """Return y, ``[T, B]``."""
        q_next = target(rollout.obs, rollout.carry, rollout.keep)[0][1:]  # [T, B, n]
        return rollout.reward + rollout.discount * q_next.max(-1).values
