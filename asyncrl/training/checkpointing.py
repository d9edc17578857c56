"""A run at a standstill: what of its live state goes into a checkpoint, and comes back."""

from collections.abc import Mapping
from typing import Any

import torch

from asyncrl.events import WorkerState
from asyncrl.runtime.parameters import STEPS, Shared
from asyncrl.store.checkpoint import Checkpoint


def take(shared: Shared, states: Mapping[int, WorkerState], meta: dict[str, Any]) -> Checkpoint:
    """Return everything a run needs in order to go on."""
    tensors = shared.tensors()
    told = {i: saved for i, saved in states.items() if saved.state["steps"] == int(shared.counters[i, STEPS])}
    for i, saved in told.items():  # not what was told before its last steps, by a worker that was ended since
        tensors |= {_name(i, name): torch.from_numpy(array) for name, array in saved.arrays.items()}
    workers = [told[i].state if i in told else {} for i in range(shared.workers)]
    return Checkpoint(shared.T, tensors, workers, meta)


def states(checkpoint: Checkpoint) -> dict[int, WorkerState]:
    """Return what workers left."""
    found = {}
    for i, state in enumerate(checkpoint.workers):
        prefix = _name(i, "")
        arrays = {
            name.removeprefix(prefix): tensor.numpy()
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(prefix)
        }
        if state:
            found[i] = WorkerState(i, state, arrays)
    return found


def _name(worker: int, array: str) -> str:
    return f"worker.{worker}.{array}"
