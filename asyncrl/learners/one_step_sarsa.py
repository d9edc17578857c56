"""Asynchronous one-step Sarsa: Algorithm 1 with the action that is really taken in s′."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from asyncrl.learners.base import Loss, squared_error
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.networks.heads import Network
from asyncrl.rollout import Act, Carry, Rollout


@dataclass(frozen=True)
class OneStepSarsa:
    """``y = r + γ Q(s′, a′; θ⁻)``, a′ the action taken in s′."""

    snapshots: ClassVar[bool] = False
    looks_ahead: ClassVar[bool] = True
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
        assert rollout.next_action is not None
        a_next = torch.cat([rollout.action[1:], rollout.next_action[None]])  # [T, B]
        return rollout.reward + rollout.discount * q_next.gather(-1, a_next[..., None]).squeeze(-1)
