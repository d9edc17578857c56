"""Networks with heads, as learners use them: action values, or a policy and a value."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asyncrl.networks.distributions import Gaussian, Policy, Softmax, Softmaxes
from asyncrl.networks.torsos import Body
from asyncrl.rollout import Carry

Out = TypeVar("Out", covariant=True)


class Network(Protocol[Out]):
    """Maps ``[T, B, *O]`` observations and a carry to outputs and the carry after them."""

    def initial_carry(self, batch: int) -> Carry:
        """Return the state at the start of an episode, each ``[B, H]``."""
        ...

    def __call__(self, obs: Tensor, carry: Carry, keep: Tensor | None = None) -> tuple[Out, Carry]:
        """Evaluate T steps; ``keep`` is False where an episode begins, as in ``Rollout.keep``."""
        ...


class PolicyValue(NamedTuple):
    """The outputs of an actor-critic for each state."""

    policy: Policy
    value: Tensor  # [T, B]


class ActorCritic(Network[PolicyValue], Protocol):
    """A network of a policy and a value."""

    def decide(self, obs: Tensor, carry: Carry) -> tuple[Policy, Carry]:
        """Return the policy without the value, for acting."""
        ...


class ActionValues(nn.Module):
    """Q(s, ·), ``[T, B, n]``."""

    def __init__(self, body: Body, n: int) -> None:
        """Add a linear head for n actions to a body."""
        super().__init__()
        self.body, self.q = body, nn.Linear(body.features, n)

    def initial_carry(self, batch: int) -> Carry:
        """See Network."""
        return self.body.initial_carry(batch)

    def forward(self, obs: Tensor, carry: Carry, keep: Tensor | None = None) -> tuple[Tensor, Carry]:
        """See Network."""
        features, carry = self.body(obs, carry, keep)
        return self.q(features), carry


class SoftmaxHead(nn.Module):
    """A linear layer to the logits of n actions."""

    def __init__(self, features: int, n: int) -> None:
        """Build for n actions."""
        super().__init__()
        self.logits = nn.Linear(features, n)

    def forward(self, features: Tensor) -> Softmax:
        """Map ``[T, B, F]`` to a policy."""
        return Softmax(F.log_softmax(self.logits(features), -1))


class SoftmaxesHead(nn.Module):
    """A linear layer to the logits of several actions at once."""

    def __init__(self, features: int, sizes: Sequence[int]) -> None:
        """Build for K actions, each with its number of choices."""
        super().__init__()
        self.sizes, self.logits = tuple(sizes), nn.Linear(features, sum(sizes))

    def forward(self, features: Tensor) -> Softmaxes:
        """Map ``[T, B, F]`` to a policy."""
        each = torch.split(self.logits(features), list(self.sizes), -1)
        return Softmaxes(torch.cat([F.log_softmax(logits, -1) for logits in each], -1), self.sizes)


class GaussianHead(nn.Module):
    """Linear layers to a mean and to one variance, through softplus (Supplement 9)."""

    def __init__(self, features: int, size: int) -> None:
        """Build for actions in ``R^size``."""
        super().__init__()
        self.mean, self.variance = nn.Linear(features, size), nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Gaussian:
        """Map ``[T, B, F]`` to a policy."""
        return Gaussian(self.mean(features), F.softplus(self.variance(features)))


PolicyHead: TypeAlias = SoftmaxHead | SoftmaxesHead | GaussianHead


class SharedActorCritic(nn.Module):
    """π and V on one body (Atari: they share all layers except the heads)."""

    def __init__(self, body: Body, head: PolicyHead) -> None:
        """Add a policy head and a linear value head to a body."""
        super().__init__()
        self.body, self.policy, self.value = body, head, nn.Linear(body.features, 1)

    def initial_carry(self, batch: int) -> Carry:
        """See Network."""
        return self.body.initial_carry(batch)

    def decide(self, obs: Tensor, carry: Carry) -> tuple[Policy, Carry]:
        """See ActorCritic."""
        features, carry = self.body(obs, carry, None)
        return self.policy(features), carry

    def forward(self, obs: Tensor, carry: Carry, keep: Tensor | None = None) -> tuple[PolicyValue, Carry]:
        """See Network."""
        features, carry = self.body(obs, carry, keep)
        return PolicyValue(self.policy(features), self.value(features).squeeze(-1)), carry


class SeparateActorCritic(nn.Module):
    """π and V on separate bodies (continuous control: they share no weights)."""

    def __init__(self, actor: Body, critic: Body, head: PolicyHead) -> None:
        """Add a policy head to one body and a linear value head to the other."""
        super().__init__()
        self.actor, self.critic, self.policy, self.value = actor, critic, head, nn.Linear(critic.features, 1)

    def initial_carry(self, batch: int) -> Carry:
        """See Network; the actor's state, then the critic's."""
        return self.actor.initial_carry(batch) + self.critic.initial_carry(batch)

    def decide(self, obs: Tensor, carry: Carry) -> tuple[Policy, Carry]:
        """See ActorCritic; the critic is evaluated only if it has an LSTM, whose state must follow every step."""
        half = len(carry) // 2
        actor_features, actor_carry = self.actor(obs, carry[:half], None)
        critic_carry = self.critic(obs, carry[half:], None)[1] if half else ()
        return self.policy(actor_features), actor_carry + critic_carry

    def forward(self, obs: Tensor, carry: Carry, keep: Tensor | None = None) -> tuple[PolicyValue, Carry]:
        """See Network."""
        half = len(carry) // 2
        actor_features, actor_carry = self.actor(obs, carry[:half], keep)
        critic_features, critic_carry = self.critic(obs, carry[half:], keep)
        outputs = PolicyValue(self.policy(actor_features), self.value(critic_features).squeeze(-1))
        return outputs, actor_carry + critic_carry
