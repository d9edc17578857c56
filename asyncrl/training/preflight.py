"""Checks before a run starts: whether the machine has what this run will need. Nothing is written before them."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncrl.config import RunConfig, with_periods
from asyncrl.envs.base import Spec
from asyncrl.errors import InputError
from asyncrl.networks import factory as networks
from asyncrl.networks.flat import flatten
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.system import machine
from asyncrl.training import job_builder

STATE_OF_AN_ENVIRONMENT = 1 << 16  # bytes in a checkpoint, about: its last observation, and the actions of its episodes


def warn_of_schedule(config: RunConfig) -> None:
    """Warn where the learning rate is 0 before the end of the budget, so that the rest learns nothing."""
    optimizer = config.optimizer
    if optimizer.anneal and optimizer.anneal_frames is not None and optimizer.anneal_frames < config.frames:
        warnings.warn(
            f"The learning rate is 0 after {optimizer.anneal_frames:,} of {config.frames:,} frames: the rest learns "
            "nothing. Set optimizer.anneal_frames to the budget or later.",
            stacklevel=2,
        )


def warn_of_barriers(config: RunConfig) -> None:
    """Warn where evaluations of a simulated run are asked for more often than its checkpoints, where they are made."""
    every, barriers = config.evaluation.every, with_periods(config).checkpoints.every
    if config.is_simulated and every is not None and barriers is not None and every < barriers:
        warnings.warn(
            f"In simulated time evaluations are made at checkpoints, here every {barriers:,} frames. Set "
            "checkpoints.every to evaluate more often; it is part of what a simulated run is.",
            stacklevel=2,
        )


def check_spaces(run: Path, document: Mapping[str, Any], config: RunConfig, spec: Spec) -> None:
    """Raise InputError where an environment has other spaces now than when the run was trained."""
    now, before = spec.summary(), document.get("spaces")
    # Runs of earlier versions keep the size of the network only.
    if not isinstance(before, str):
        network = networks.fit(config.network, spec.obs_shape)
        size = len(flatten(job_builder.make_network(config.model_copy(update={"network": network}), spec)))
        before = now if size == document.get("parameters", size) else "others"
    if before != now:
        raise InputError(
            f"{config.env} has other spaces now ({now}) than when {run.name} was trained ({before}). "
            "Change the environment back, or start a new run."
        )


PROCESS = 64 << 20  # bytes of its own that a worker process takes, at least


def check(
    job: Job,
    parameters: int,
    num_envs: int,
    place: Path,
    keep: int,
    saved: int = 0,
    observation: int = 0,
    of_nodes: int = 0,
) -> None:
    """Check that a run fits on this machine; many more workers than cores are a warning.

    Args:
        job: its parts.
        parameters: P of its network.
        num_envs: environments of all its workers.
        place: the directory it will be written to.
        keep: how many checkpoints it keeps, besides the one that it is writing.
        saved: how many there are already.
        observation: numbers in one observation.
        of_nodes: bytes of shared memory that simulated nodes take.

    Raises:
        InputError: it does not fit: one line for each resource that is too small.
    """
    has_target, has_average = job.target_period is not None, job.averaging > 0
    vectors = SharedParameters.size(parameters, job.workers, job.optimizer, has_target, has_average)
    shared = vectors + Control.size(job.workers) + of_nodes
    checkpoint = vectors + STATE_OF_AN_ENVIRONMENT * num_envs
    # the observations of a rollout, and the network's input in float32
    rollouts = num_envs * (job.t_max + 1) * observation * 8
    processes = 1 if job.simulation else job.workers
    own = PROCESS * processes + 8 * parameters * job.workers  # θ′ and dθ
    own += 8 * parameters * job.simulation.delay if job.simulation else 0  # gradients that wait
    checks = (
        machine.memory(shared + rollouts + own, "threads, envs_per_thread or t_max"),
        machine.shared_memory(shared),
        machine.open_files(processes),
        machine.disk(place, max(1, keep + 1 - saved) * checkpoint),
    )
    problems = [
        f"{name.capitalize()}: {found}. {advice}" for name, verdict, found, advice in checks if verdict == "fail"
    ]
    if problems:
        raise InputError(*problems)
    cores = machine.processors(processes)
    if cores.verdict == "warn":
        warnings.warn(cores.advice, stacklevel=2)
