"""The learners on compiled networks: the same actions, losses and gradients up to rounding, and faster.

With few states, most of the time of a small network is that of calling torch's operations. For a feed-forward network
of ``mlp`` or ``minatar``, one call of the compiled library evaluates it, one differentiates it, and one computes a loss
with its gradient. ``accelerate`` chooses; docs/kernels.md describes the design.
"""

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Generator, Tensor, nn

from asyncrl.kernels import native
from asyncrl.kernels.network import CompiledNetwork, a3c_loss, squared_error
from asyncrl.learners.a3c import A3C
from asyncrl.learners.base import Learner
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.heads import ActionValues, SharedActorCritic, SoftmaxHead
from asyncrl.networks.torsos import Body, Frames, Vectors
from asyncrl.rollout import Act, Carry, Rollout

MOST_INPUTS = 2**14  # numbers in the vectors of a rollout

ValueLearner: TypeAlias = OneStepQ | OneStepSarsa | NStepQ


class CompiledLoss(NamedTuple):
    """A loss whose gradient with respect to the network's outputs is known."""

    value: float
    statistics: dict[str, float]
    network: CompiledNetwork
    obs: Tensor  # [N, *O]
    grad: Tensor  # [N, width]

    def backward(self) -> None:
        """Add the gradient to that of the network's parameters."""
        self.network.backward(self.obs, self.grad)


@dataclass(frozen=True)
class CompiledA3C:
    """A3C on a compiled network."""

    learner: A3C
    library: ctypes.CDLL
    network: CompiledNetwork

    def act(self, net: Any, obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """See A3C."""
        return Act(self.network.sample(obs, generator), carry)

    def loss(self, net: Any, target: Any, rollout: Rollout) -> CompiledLoss:
        """See A3C."""
        obs, states = rollout.obs.flatten(0, 1), rollout.reward.numel()
        outputs = self.network.forward(obs)
        grad, sums = a3c_loss(self.library, outputs, rollout, self.learner.entropy, self.learner.value_weight)
        statistics = {"entropy": sums[1] / states, "value": sums[2] / states}
        return CompiledLoss(sums[0], statistics, self.network, obs, grad)


@dataclass(frozen=True)
class CompiledValues:
    """A value method on compiled networks: that of the learner, and that with θ⁻."""

    learner: ValueLearner
    library: ctypes.CDLL
    network: CompiledNetwork
    target: CompiledNetwork

    def act(self, net: Any, obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """See the learner."""
        epsilon = self.learner.exploration.epsilon(T)
        return Act(self.network.explore(obs, epsilon, generator), carry, epsilon)

    def loss(self, net: Any, target: Any, rollout: Rollout) -> CompiledLoss:
        """See the learner."""
        evaluate: Any = self._evaluate_target
        y = self.learner.targets(evaluate, rollout, ())  # [T, B]
        obs, states = rollout.obs[:-1].flatten(0, 1), y.numel()
        q = self.network.forward(obs)
        grad, sums = squared_error(self.library, q, rollout.action, y.contiguous())
        statistics = {"td_error": sums[1] / states, "q": sums[2] / q.numel()}
        return CompiledLoss(sums[0], statistics, self.network, obs, grad)

    def _evaluate_target(self, obs: Tensor, carry: Carry, keep: Tensor | None = None) -> tuple[Tensor, Carry]:
        return self.target.forward(obs.flatten(0, 1)).view(*obs.shape[:2], -1), carry


def accelerate(learner: Learner[Any], net: nn.Module, target: nn.Module, capacity: int) -> Any:
    """Return the learner on compiled networks, or the learner itself where there are none for it.

    Args:
        learner: one of the package, or of a user.
        net: its network; parameters and gradients must stay where they are.
        target: the network with θ⁻, or ``net``.
        capacity: the most states of a rollout, the last one included.
    """
    library = native.load()
    if library is None or torch.get_num_threads() > 1:
        return learner
    network = _compile(library, net, capacity)
    if network is None:
        return learner
    if isinstance(net, SharedActorCritic):
        return CompiledA3C(learner, library, network) if type(learner) is A3C else learner
    of_target = _compile(library, target, capacity)
    if of_target is not None and type(learner) in (OneStepQ, OneStepSarsa, NStepQ):
        return CompiledValues(learner, library, network, of_target)  # type: ignore[arg-type]
    return learner


def _compile(library: ctypes.CDLL, net: nn.Module, capacity: int) -> CompiledNetwork | None:
    """Return a compiled network, or None for one that is recurrent, of another architecture, or not float32."""
    if type(net) is ActionValues:
        heads = [net.q]
    elif type(net) is SharedActorCritic and type(net.policy) is SoftmaxHead:
        heads = [net.policy.logits, net.value]
    else:
        return None
    body: Any = net.body
    if type(body) is not Body or body.lstm is not None or any(each.dtype != torch.float32 for each in net.parameters()):
        return None
    if (kernels := _kernels(body.torso)) is None:
        return None
    # torch computes large products faster
    if not kernels and capacity * body.torso.layers[0].in_features > MOST_INPUTS:
        return None
    of_torso = [layer for layer in body.torso.layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    layers: list[Any] = [(layer.weight, layer.bias) for layer in [*of_torso, *heads]]
    return CompiledNetwork(library, kernels, layers, len(of_torso), capacity)


def _kernels(torso: Any) -> str | None:
    """Return the name of a torso's kernels, empty for vectors; None if it has none that are part of a network."""
    if type(torso) is Vectors:
        return ""
    name = torso.architecture if type(torso) is Frames else None
    return name if name and name.startswith("minatar") else None
