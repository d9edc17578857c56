"""What a learner is: how to act, and a loss over a rollout. Everything else is the runtime's."""

from typing import ClassVar, NamedTuple, Protocol, TypeVar

from torch import Generator, Tensor

from asyncrl.rollout import Act, Carry, Rollout

Net = TypeVar("Net", contravariant=True)


class Loss(NamedTuple):
    """A scalar whose gradient is dθ, and statistics that are shown and stored."""

    total: Tensor  # []  summed over the rollout, never averaged
    statistics: dict[str, Tensor]  # [] each, detached; means over the rollout

    @property
    def value(self) -> float:
        """Return the number."""
        return float(self.total.detach())

    def backward(self) -> None:
        """Add dθ to the gradients of the network's parameters."""
        self.total.backward()  # type: ignore[no-untyped-call]


def squared_error(q: Tensor, action: Tensor, target: Tensor) -> Loss:
    """Return the sum of ``(target − Q(s, a))²``.

    Args:
        q: ``[T, B, n]``, with a gradient.
        action: ``[T, B]`` int64.
        target: ``[T, B]``, constant.
    """
    error = target - q.gather(-1, action[..., None]).squeeze(-1)  # [T, B]
    return Loss((error**2).sum(), {"td_error": error.detach().abs().mean(), "q": q.detach().mean()})


class Learner(Protocol[Net]):
    """A frozen set of hyper-parameters. It keeps no state, and none inherits from another."""

    snapshots: ClassVar[bool]  # Algorithms S2 and S3 act on θ′ ← θ; Algorithm 1 on θ itself
    looks_ahead: ClassVar[bool]  # Sarsa needs a_t before the update

    @property
    def target_period(self) -> int | None:
        """I_target in steps of T; None without θ⁻."""
        ...

    def act(self, net: Net, obs: Tensor, carry: Carry, T: int, generator: Generator) -> Act:
        """Choose actions for ``[B, *O]``; random numbers come from the worker's generator alone."""
        ...

    def loss(self, net: Net, target: Net, rollout: Rollout) -> Loss:
        """Return the loss of a rollout; ``target`` is the network with θ⁻, and unused without one."""
        ...
