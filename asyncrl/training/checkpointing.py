"""What of a parked run goes into a checkpoint, and comes back from it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.envs.base import Spec
from asyncrl.errors import InputError
from asyncrl.events import WorkerState
from asyncrl.networks.flat import flatten
from asyncrl.runtime.action_log import logged_type
from asyncrl.runtime.protocols import SessionParameters
from asyncrl.store.checkpoint import Check, Checkpoint
from asyncrl.store.layout import Kind, Layout
from asyncrl.training import job_builder


def fits(config: RunConfig, spec: Spec, refuse: Callable[[RunConfig], None] = lambda settings: None) -> Check:
    """Return a check of checkpoints against the settings that they were saved with, and the network of ``config``.

    Args:
        config: the run's settings, as run.json has them.
        spec: the spaces of its environment.
        refuse: called with the settings of a checkpoint before it is checked.
    """

    def check(checkpoint: Checkpoint) -> None:
        try:
            saved = configuration.build(checkpoint.meta["config"])
        except (InputError, KeyError, TypeError, AttributeError):
            raise ValueError("its settings cannot be read") from None
        refuse(saved)
        layout(saved.model_copy(update={"network": config.network}), spec).check(checkpoint)

    return check


def layout(config: RunConfig, spec: Spec) -> Layout:
    """Return what the checkpoints of a run with these settings contain."""
    # Building a network draws weights.
    with torch.random.fork_rng(devices=()):
        net = job_builder.make_network(config, spec)
    plan = job_builder.worker_layout(config)
    B, size = plan.envs, len(flatten(net))
    job = job_builder.make_job(config, spec, (0.0,) * (plan.workers * B), session=0)
    vector = Kind(torch.float32, (size,))
    states = 1 if job.optimizer.shared else plan.workers
    vectors = {
        "theta": vector,
        "target": vector if job.target_period is not None else Kind(torch.float32, (0,)),
        "optimizer_state": Kind(torch.float32, (states, job.optimizer.slots, size)),
    }
    action = (B, *spec.actions.shape)
    logged = torch.from_numpy(np.empty(0, logged_type(spec.actions))).dtype
    return Layout(
        vectors=vectors | ({"average": vector} if job.averaging else {}),
        workers=plan.workers,
        envs=B,
        current=Kind(getattr(torch, spec.obs_dtype), (B, *spec.obs_shape)),
        logged=Kind(logged, (None, *action)),
        planned=Kind(getattr(torch, spec.actions.dtype), action),
        choices=spec.actions.choices,
        carry=tuple(Kind(part.dtype, tuple(part.shape)) for part in net.initial_carry(B)),  # type: ignore[operator]
        is_simulated=config.is_simulated,
    )


def take(parameters: SessionParameters, states: Mapping[int, WorkerState], meta: dict[str, Any]) -> Checkpoint:
    """Return everything a run needs in order to continue."""
    tensors = parameters.tensors()
    # A worker that was killed may have sent its state before its last steps: that state is left out.
    current = {i: saved for i, saved in states.items() if saved.state["steps"] == parameters.steps(i)}
    for i, saved in current.items():
        tensors |= {_name(i, name): torch.from_numpy(array) for name, array in saved.arrays.items()}
    workers = [current[i].state if i in current else {} for i in range(parameters.workers)]
    return Checkpoint(parameters.T, tensors, workers, meta)


def states(checkpoint: Checkpoint) -> dict[int, WorkerState]:
    """Return the states of workers in a checkpoint."""
    found = {}
    for i, state in enumerate(checkpoint.workers):
        prefix = _name(i, "")
        arrays = {
            name.removeprefix(prefix): tensor.numpy()
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(prefix)
        }
        if state:
            found[i] = WorkerState(worker=i, state=state, arrays=arrays)
    return found


def _name(worker: int, array: str) -> str:
    return f"worker.{worker}.{array}"
