"""Checks before a run starts: whether the machine has what this run will need. Nothing is written before them."""

import warnings
from pathlib import Path

from asyncrl.errors import InputError
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.system import machine

STATE_OF_AN_ENVIRONMENT = 1 << 16  # bytes in a checkpoint, about: its last observation, and the actions of its episodes


def check(job: Job, parameters: int, num_envs: int, place: Path, keep: int, saved: int = 0) -> None:
    """Check that a run fits on this machine; many more workers than cores are a warning.

    Args:
        job: its parts.
        parameters: P of its network.
        num_envs: environments of all its workers.
        place: the directory it will be written to.
        keep: how many checkpoints it keeps, besides the one that it is writing.
        saved: how many there are already.

    Raises:
        InputError: it does not fit: one line for each resource that is too small.
    """
    has_target, has_average = job.target_period is not None, job.averaging > 0
    vectors = SharedParameters.size(parameters, job.workers, job.optimizer, has_target, has_average)
    shared = vectors + Control.size(job.workers)
    checkpoint = vectors + STATE_OF_AN_ENVIRONMENT * num_envs
    checks = (
        machine.shared_memory(shared),
        machine.open_files(job.workers),
        machine.disk(place, max(1, keep + 1 - saved) * checkpoint),
    )
    problems = [
        f"{name.capitalize()}: {found}. {advice}" for name, verdict, found, advice in checks if verdict == "fail"
    ]
    if problems:
        raise InputError(*problems)
    cores = machine.processors(job.workers)
    if cores.verdict == "warn":
        warnings.warn(cores.advice, stacklevel=2)
