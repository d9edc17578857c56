"""What of a parked run goes into a checkpoint, and comes back from it."""

from collections.abc import Mapping
from typing import Any

import torch

from asyncrl.events import WorkerState
from asyncrl.runtime.protocols import SessionParameters
from asyncrl.store.checkpoint import Checkpoint


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
