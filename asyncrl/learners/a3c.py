"""Asynchronous advantage actor-critic (Algorithm S3); under the synchronous schedule, A2C."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from asyncrl.learners.base import Loss
from asyncrl.networks.heads import ActorCritic
from asyncrl.rollout import Act, Carry, Rollout, n_step_returns


@dataclass(frozen=True)
class A3C:
    """Ascends ``∇ log π(a_i|s_i) (R − V(s_i)) + β∇H(π(s_i))``, and fits V to R by least squares."""

    snapshots: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = False
    target_period: ClassVar[None] = None
    entropy: float  # β
    value_weight: float  # of ½(R − V)²

    def act(self, net: ActorCritic, obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """Sample from the snapshot's policy."""
        policy, carry = net.decide(obs[None], carry)  # [1, B, …]
        return Act(policy.sample(generator)[0], carry)

    def loss(self, net: ActorCritic, target: ActorCritic, rollout: Rollout) -> Loss:
        """Sum the policy's, the value's and the entropy's losses over the rollout."""
        (policy, V), carry = net(rollout.obs[:-1], rollout.carry, rollout.keep[:-1])  # [T, B, …]
        with torch.no_grad():
            (_, V_last), _ = net(rollout.obs[-1:], carry, rollout.keep[-1:])  # [1, B]
            R = n_step_returns(rollout.reward, rollout.discount, V_last[0])  # [T, B]
        advantage = R - V
        H = policy.entropy()  # [T, B]
        gain = policy.log_prob(rollout.action) * advantage.detach() + self.entropy * H  # [T, B]
        loss = self.value_weight * 0.5 * advantage**2 - gain  # [T, B]
        return Loss(loss.sum(), {"entropy": H.detach().mean(), "value": V.detach().mean()})
