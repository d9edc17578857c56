"""Runs put together without a store, actor-learners in this process, and a look at the processes that there are."""

import os
import time
from pathlib import Path

import numpy as np
import torch

from asyncrl.config import RunConfig
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.events import WorkerState
from asyncrl.networks.flat import flatten
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.process import WorkerProcess
from asyncrl.runtime.supervisor import ProcessPool
from asyncrl.training import job_builder

torch.set_num_threads(1)  # as in every actor-learner

FINAL = 0.1  # ε of every environment here


def resolve(**table) -> RunConfig:
    """Return a small configuration: Corridor, one thread, no evaluation."""
    config, _ = job_builder.resolve({"env": "tests.toys:Corridor", "threads": 1, "evaluation": {"episodes": 0}} | table)
    return config


def describe(config: RunConfig) -> Spec:
    """Return the environment's spaces."""
    return environments.describe(config.env, config.atari)


def prepare(session: int = 0, **table) -> tuple[Job, SharedParameters]:
    """Return a run's parts and its parameters, with weights that its seed alone decides."""
    config = resolve(**table)
    spec, plan = describe(config), job_builder.worker_layout(config)
    job = job_builder.make_job(config, spec, (FINAL,) * (plan.workers * plan.envs), session)
    torch.manual_seed(config.seed)
    return job, share(job)


def share(job: Job, theta: torch.Tensor | None = None) -> SharedParameters:
    """Return a run's parameters, which begin with ``[P]`` weights or with those of its network."""
    theta = flatten(job.make_network()) if theta is None else theta
    settings = (job.optimizer, job.learning_rate, job.target_period, job.averaging)
    return SharedParameters.allocate(theta, job.workers, *settings)


def steps_of(parameters: SharedParameters) -> np.ndarray:
    """Return ``[W]``: the steps that each worker has counted."""
    return np.array([parameters.steps(worker) for worker in range(parameters.workers)])


def make_pool(job: Job, parameters: SharedParameters) -> ProcessPool:
    """Return a pool of worker processes that have not started yet."""
    return ProcessPool(job, parameters, Control.allocate(job.workers))


class Pipe:
    """The worker's end of a pipe that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = []

    def send(self, message) -> None:
        self.sent += message if isinstance(message, list) else [message]

    def close(self) -> None:
        pass

    def events(self, kind: type) -> list:
        """Return what was sent of one kind."""
        return [event for event in self.sent if isinstance(event, kind)]


def actor(job: Job, parameters: SharedParameters, worker: int = 0, saved: WorkerState | None = None) -> WorkerProcess:
    """Return a worker that is driven in this process; its events are in ``pipe.sent``."""
    return WorkerProcess(worker, job, parameters, Control.allocate(job.workers), Pipe(), saved)


def theta(parameters: SharedParameters) -> torch.Tensor:
    """Return a copy of θ."""
    return parameters.tensors()["theta"]


def write_theta(parameters: SharedParameters, values: torch.Tensor) -> None:
    """Write θ as another worker's updates would."""
    parameters.restore_vectors(parameters.tensors() | {"theta": values})


def same(one: SharedParameters, other: SharedParameters) -> bool:
    """Return whether vectors and counters of two runs are equal, bit for bit."""
    first, second = one.tensors(), other.tensors()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def children(pid: int) -> set[int]:
    """Return a process's living children, but Python's own tracker of resources."""
    return {child for child in _processes() if parent(child) == pid and not _tracks(child)}


def shared_memory() -> set[str]:
    """Return the names in /dev/shm."""
    return set(os.listdir("/dev/shm"))


def wait_until(holds, seconds: float = 30.0) -> bool:
    """Wait until something holds, and return whether it does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def parent(pid: int) -> int | None:
    """Return the process id of a process's parent; None if the process has ended."""
    return int(status[1]) if (status := _status(pid)) else None


def is_alive(pid: int) -> bool:
    """Return whether a process has not ended."""
    return _status(pid)[:1] not in ([], ["Z"], ["X"])


def is_at_work(pid: int) -> bool:
    """Return whether a process takes any time of a core within two tenths of a second."""
    before = _status(pid)[11:13]  # of its own, of the kernel for it
    time.sleep(0.2)
    return _status(pid)[11:13] != before


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and is_alive(int(name))]


def _tracks(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _status(pid: int) -> list[str]:
    """Return a process's state, its parent, and so on; an empty list if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
