"""What a run is made of, as the runtime sees it: parts that can be sent to a spawned process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from asyncrl.envs.base import Environments
from asyncrl.learners.base import Learner
from asyncrl.optim import LearningRate, Optimizer
from asyncrl.runtime.simulation import Simulation


def use_torch(learner: Learner[Any], net: nn.Module, target: nn.Module, capacity: int) -> Learner[Any]:
    """Return the learner itself: the simplest ``Job.accelerate``."""
    return learner


@dataclass(frozen=True)
class Job:
    """A run's parts; time is in steps here."""

    learners: tuple[Learner[Any], ...]  # one a worker; they differ in their ε alone
    make_network: Callable[[], nn.Module]  # picklable
    make_environments: Callable[[], Environments]  # picklable; B for one worker
    optimizer: Optimizer
    learning_rate: LearningRate
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
    profile: bool = False  # whether workers report where their time goes
    simulation: Simulation | None = None  # how virtual time passes; None: each worker is a process
    # returns a faster form of a learner for its networks and the most states of a rollout
    accelerate: Callable[[Learner[Any], nn.Module, nn.Module, int], Any] = use_torch

    @property
    def workers(self) -> int:
        """Return how many actor-learners there are."""
        return len(self.learners)

    @property
    def target_period(self) -> int | None:
        """Return I_target in steps; None without θ⁻."""
        return self.learners[0].target_period
