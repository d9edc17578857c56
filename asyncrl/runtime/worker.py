"""The actor-learner: the loop of Algorithms 1, S2 and S3, written once, as a generator of phases.

The code that drives the generator decides what happens between two phases: a worker process continues at once and
measures the time between yields, tests alternate workers step by step, and the process of a simulated run adds each
phase's cost to a virtual time. Processes, files, the restoring of saved states and reports are elsewhere.
"""

import math
from collections.abc import Generator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyncrl.envs.base import Environments, Episode
from asyncrl.learners.base import Learner
from asyncrl.networks.flat import bind_gradients
from asyncrl.networks.snapshot import Snapshot
from asyncrl.optim import clip_
from asyncrl.rollout import Act, Carry, Stream
from asyncrl.runtime.job import Job
from asyncrl.runtime.protocols import ParameterStore
from asyncrl.runtime.random_streams import RandomStreams

PHASES = ("pull", "act", "environment", "learn", "apply")  # of the generator


class Update(NamedTuple):
    """What one rollout and its update did."""

    steps: int
    is_applied: bool  # False where the gradient was not finite
    statistics: dict[str, float]  # means over the rollout; empty where the update was not applied
    episodes: list[tuple[Episode, float | None]]  # that ended, each with the ε at its end
    T: int  # after the rollout
    updates: int  # global, after the update


class ActorLearner:
    """One worker's learner, networks, environments and random numbers."""

    def __init__(
        self, worker: int, job: Job, parameters: ParameterStore, environments: Environments, streams: RandomStreams
    ) -> None:
        """Build the networks and start the environments.

        Args:
            worker: this worker's number, from 0 to W − 1.
            job: the run's parts.
            parameters: the shared vectors and counters.
            environments: B of them.
            streams: the seeds of this worker.
        """
        self.worker, self.job, self.parameters = worker, job, parameters
        self.learner = job.learners[worker]
        torch.manual_seed(streams.torch_seed())
        self.net = job.make_network()
        self.snapshot = None
        if self.learner.snapshots:
            self.snapshot = Snapshot(self.net, (job.t_max + 1) * environments.num_envs)
        else:
            parameters.bind(self.net)
        self.grad = bind_gradients(self.net)  # dθ
        self.target = self.net
        if self.learner.target_period is not None:
            self.target = job.make_network().requires_grad_(False)
            parameters.bind_target(self.target)
        # it acts and computes losses: the same as the learner up to rounding
        capacity = (job.t_max + 1) * environments.num_envs
        self._compute: Learner[Any] = job.accelerate(self.learner, self.net, self.target, capacity)
        # Building the networks drew from torch's global generator; the worker's generator starts from that state.
        self.generator = torch.Generator()
        self.generator.set_state(torch.get_rng_state())
        seeds = streams.first_environment_seeds(environments.num_envs)
        fresh = self.net.initial_carry(environments.num_envs)  # type: ignore[operator]
        self.stream = Stream(environments, seeds, job.t_max, job.gamma, fresh, self.learner.looks_ahead)

    def update(self) -> Generator[str, None, Update]:
        """Collect one rollout and apply its gradient; yield the name of each phase as it ends.

        No shared value is read before a yield and used after it, except those of the rollout's start (θ′, its version,
        T) and, at the end, numbers that are only reported (``policy_lag``, the Update's T and updates).
        """
        parameters, compute = self.parameters, self._compute
        if self.snapshot is not None:
            self.snapshot.pull(parameters)  # θ′ ← θ
        version, T = parameters.updates, parameters.T
        self.grad.zero_()  # dθ ← 0
        yield "pull"

        def act(obs: Tensor, carry: Carry) -> Act:
            # Not around the generator: no_grad would then hold for other code between two phases.
            with torch.no_grad():
                return compute.act(self.net, obs, carry, T, self.generator)

        rollout, episodes = yield from self.stream.collect(act)  # ≤ t_max steps
        loss = compute.loss(self.net, self.target, rollout)
        loss.backward()  # dθ ← dθ + ∂loss/∂θ′
        yield "learn"
        steps = rollout.reward.numel()
        before, after = parameters.advance(self.worker, steps)  # T ← T + 1 for each step
        norm = clip_(self.grad, self.job.clip)
        lag = parameters.updates - version  # updates by others since the snapshot
        is_finite = math.isfinite(norm)
        if is_finite:
            parameters.apply(self.worker, self.grad, before)  # θ ← θ − …, no lock
        parameters.sync_target(before, after)  # if T mod I_target = 0: θ⁻ ← θ
        updates = parameters.updates
        yield "apply"
        statistics = {}
        if is_finite:
            statistics = {name: float(value) for name, value in loss.statistics.items()}
            statistics |= {"loss": loss.value / steps, "grad_norm": norm, "policy_lag": lag}
        return Update(steps, is_finite, statistics, episodes, after, updates)
