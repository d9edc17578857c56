"""What a learner is: how to act, and a loss over a rollout. Everything else is the runtime's."""

from typing import ClassVar, NamedTuple, Protocol, TypeVar

from torch import Tensor

from asyncrl.rollout import Carry, Rollout

Net = TypeVar("Net", contravariant=True)


class Act(NamedTuple):
    """A decision for B environments."""

    action: Tensor  # [B] int64, or [B, A] float32
    carry: Carry  # after the observation; not the learner's to keep
    epsilon: Tensor | None = None  # [B]  exploration; None for a policy


class Loss(NamedTuple):
    """A scalar whose gradient is dθ, and numbers that a person watches."""

    total: Tensor  # []  summed over the rollout, never averaged
    statistics: dict[str, Tensor]  # [] each, detached; means over the rollout


class Learner(Protocol[Net]):
    """A frozen set of hyper-parameters. It keeps no state, and none inherits from another."""

    snapshots: ClassVar[bool]  # Algorithms S2 and S3 act on θ′ ← θ; Algorithm 1 on θ itself
    looks_ahead: ClassVar[bool]  # Sarsa needs a_t before the update

    @property
    def target_period(self) -> int | None:
        """I_target in steps of T; None without θ⁻."""
        ...

    def act(self, net: Net, obs: Tensor, carry: Carry, T: int) -> Act:
        """Choose actions for ``[B, *O]``; draws from torch's generator, keeps nothing itself."""
        ...

    def loss(self, net: Net, target: Net, rollout: Rollout) -> Loss:
        """Return the loss of a rollout; ``target`` is the network with θ⁻, and unused without one."""
        ...
