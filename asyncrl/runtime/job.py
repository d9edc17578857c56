"""What a run is made of, as the runtime sees it: parts that can be sent to a spawned process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from asyncrl.envs.base import Environments
from asyncrl.learners.base import Learner
from asyncrl.optim import Optimizer
from asyncrl.schedules import linear


@dataclass(frozen=True)
class Job:
    """A run's parts; time is in steps here."""

    learners: tuple[Learner[Any], ...]  # one a worker; they differ in their ε alone
    make_network: Callable[[], nn.Module]  # picklable
    make_environments: Callable[[], Environments]  # picklable; B for one worker
    optimizer: Optimizer
    lr: float  # at T = 0
    anneal_steps: int | None  # at which the learning rate is 0; None: it stays as it is
    clip: float | None
    t_max: int
    gamma: float
    budget: int  # steps of T
    seed: int
    restarts: int = 0  # of one worker within ten minutes
    hang_seconds: float = 60.0  # without a finished rollout, before a worker is taken to hang
    cores: int | None = None  # that the workers take turns on; None: they do not
    averaging: int = 0  # updates in the running average of θ; 0: there is none
    torch_threads: int = 1  # in a worker; more only where one worker has the machine for itself
    session: int = 0  # how often the run was resumed
    profile: bool = False  # whether workers tell where their time goes

    @property
    def workers(self) -> int:
        """Return how many actor-learners there are."""
        return len(self.learners)

    @property
    def has_target(self) -> bool:
        """Say whether there is a θ⁻."""
        return self.learners[0].target_period is not None

    @property
    def has_average(self) -> bool:
        """Say whether there is a running average of θ."""
        return self.averaging > 0

    def learning_rate(self, T: int) -> float:
        """Return η at T steps."""
        return self.lr if self.anneal_steps is None else linear(self.lr, 0.0, T, self.anneal_steps)
