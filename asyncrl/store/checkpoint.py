"""Checkpoints: written atomically, verified when loaded.

``checkpoints/000000800000/`` holds ``state.safetensors``, ``workers.json`` and a manifest of their sha256. It is
written under a hidden name, synced, read back, and only then renamed. Nothing is unpickled.
"""

import json
import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from asyncrl.errors import shown
from asyncrl.store import atomic, manifest
from asyncrl.store.manifest import CheckpointError, DamagedError, NoCheckpointError

__all__ = ["Best", "Checkpoint", "CheckpointError", "best", "count", "forget_best", "load", "mark_best", "save"]

STATE, WORKERS, BEST = "state.safetensors", "workers.json", "best.json"
DISPLACED = "-displaced"  # suffix of an older checkpoint of the same step, during its replacement


class Checkpoint(NamedTuple):
    """The state from which a run resumes."""

    step: int  # T
    tensors: dict[str, Tensor]  # θ, θ⁻, g, counters
    workers: list[dict[str, Any]]  # one state a worker, as JSON: tuples become lists
    meta: dict[str, Any]  # counts and configuration, as JSON

    @property
    def evaluation_weights(self) -> Tensor:
        """Return the ``[P]`` weights for evaluations: the running average of θ if the run has one, else θ."""
        return self.tensors.get("average", self.tensors["theta"])


class Best(NamedTuple):
    """The checkpoint with the highest finite mean score of an evaluation."""

    step: int
    score: float


Check = Callable[[Checkpoint], None]


def save(run: Path, checkpoint: Checkpoint, keep: int = 3) -> Path:
    """Write a checkpoint and return its directory; then remove all but the newest ``keep`` (≥ 2) and the best.

    Raises:
        OSError: the disk is full, or the checkpoint reads back differently; earlier checkpoints are unchanged.
    """
    folder = _make_folder(run)
    atomic.delete_hidden(folder)
    path, hidden = folder / f"{checkpoint.step:012d}", atomic.hidden_name(folder)
    displaced = path.with_name(path.name + DISPLACED)
    try:
        manifest.write(hidden, _files(checkpoint), step=checkpoint.step, meta=checkpoint.meta)
        if os.path.lexists(path):
            atomic.remove(displaced)
            path.rename(displaced)
        hidden.rename(path)
    except BaseException:
        atomic.delete(hidden)
        raise
    atomic.sync_directory(folder)
    # The new checkpoint is on disk: an older one that cannot be removed is left.
    with suppress(OSError):
        atomic.remove(displaced)
        _prune(run, checkpoint.step, keep)
    return path


def load(run: Path, which: str = "last", check: Check = lambda checkpoint: None) -> Checkpoint:
    """Return the ``last`` checkpoint, the ``best`` one, or that of a step, after verifying every file.

    If the last one is damaged, return the newest valid one, with a warning for each that is passed over.

    Args:
        run: the run's directory.
        which: ``last``, ``best`` or a step.
        check: raises ValueError, with the reason, where the contents of a checkpoint do not fit the run.

    Raises:
        CheckpointError: it does not exist, it is damaged, or a newer asyncrl wrote it.
    """
    folder = _folder(run)
    if os.path.lexists(folder) and not atomic.is_directory(folder):
        raise NoCheckpointError(f"{folder} is not a directory, but a link or a file. Put the directory back.")
    if which == "last":
        return _load_last(run, check)
    if which == "best":
        marked = best(run)
        if marked is None:
            raise CheckpointError(
                f"{run.name} has no best checkpoint yet: the first evaluation with a finite mean score marks one."
            )
        step = marked.step
    elif re.fullmatch(r"[0-9]{1,18}", which):
        step = int(which)
    else:
        raise CheckpointError(f"A checkpoint is 'last', 'best' or a step ({_steps_text(run)}); got {shown(which)}.")
    return _read(_of_step(run, step), check)


def mark_best(run: Path, step: int, score: float) -> None:
    """Mark a saved checkpoint as the best, which is never pruned; raise CheckpointError if that step is not saved."""
    path = _of_step(run, step)
    atomic.replace_file(path.with_name(BEST), json.dumps({"step": step, "score": score}).encode() + b"\n")


def forget_best(run: Path, step: int) -> None:
    """Remove the mark of the best checkpoint if its step is later than the given one."""
    marked = best(run)
    if marked is not None and marked.step > step:
        (_folder(run) / BEST).unlink()


def best(run: Path) -> Best | None:
    """Return the step and score of the best checkpoint, or None if none is marked."""
    try:
        entries = atomic.read_object(_folder(run) / BEST)
        found = Best(int(entries["step"]), float(entries["score"]))
        return found if isfinite(found.score) else None
    # No checkpoint is marked, or the mark is damaged.
    except (OSError, KeyError, TypeError, ValueError, OverflowError):
        return None


def exists(run: Path, step: int) -> bool:
    """Return whether there is a checkpoint of a step, valid or not."""
    return any(_step(path) == step for path in _paths(run))


def count(run: Path) -> int:
    """Return how many checkpoints there are, valid or not."""
    return len(_paths(run))


def _load_last(run: Path, check: Check) -> Checkpoint:
    damaged: list[str] = []
    for path in _paths(run):
        try:
            checkpoint = _read(path, check)
        except DamagedError as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(f"{' '.join(damaged)} Going back to step {checkpoint.step}.", stacklevel=3)
        return checkpoint
    if damaged:
        raise NoCheckpointError(f"No checkpoint of {run.name} is intact. {' '.join(damaged)}")
    raise NoCheckpointError(f"{run.name} has no checkpoint yet.")


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    return {STATE: safetensors.torch.save(tensors), WORKERS: json.dumps(checkpoint.workers).encode()}


def _read(path: Path, check: Check) -> Checkpoint:
    entries, files = manifest.read(path, (STATE, WORKERS))
    try:
        tensors, workers = safetensors.torch.load(files[STATE]), json.loads(files[WORKERS])
        checkpoint = Checkpoint(entries["step"], tensors, workers, entries["meta"])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError):  # RecursionError is a RuntimeError
        raise DamagedError(f"The checkpoint {path} is damaged: its files have invalid contents.") from None
    try:
        _check_types(checkpoint, _step(path))
        check(checkpoint)
    except ValueError as error:
        raise DamagedError(f"The checkpoint {path} is damaged: {error}.") from None
    return checkpoint


def _check_types(checkpoint: Checkpoint, step: int) -> None:
    """Raise ValueError where a part has the wrong type, or the step is not that of the directory's name."""
    if type(checkpoint.step) is not int or checkpoint.step != step:
        raise ValueError(f"it is of another step than its name, {checkpoint.step!a:.40}")
    if not (isinstance(checkpoint.workers, list) and all(isinstance(state, dict) for state in checkpoint.workers)):
        raise ValueError(f"{WORKERS} is not a list of tables")
    if not isinstance(checkpoint.meta, dict):
        raise ValueError("meta is not a table")


def _prune(run: Path, newest: int, keep: int) -> None:
    """Remove checkpoints older than the newest ``keep`` valid ones, except the best and the one just written."""
    marked = best(run)
    kept = (newest, marked.step if marked else None)
    oldest = min([_step(path) for path in _paths(run) if _is_valid(path)][: max(keep, 2)], default=0)
    for path in _paths(run):
        if _step(path) < oldest and _step(path) not in kept:
            atomic.remove(path)


def _is_valid(path: Path) -> bool:
    try:
        manifest.read(path, (STATE, WORKERS))
    except CheckpointError:
        return False
    return True


def _make_folder(run: Path) -> Path:
    """Return the directory of checkpoints, created where it is missing or a link or a file has its name."""
    folder = _folder(run)
    if not atomic.is_directory(folder):
        if os.path.lexists(folder):
            atomic.set_aside(folder)
        folder.mkdir()
        atomic.sync_directory(run)
    return folder


def _folder(run: Path) -> Path:
    return run / "checkpoints"


def _paths(run: Path) -> list[Path]:
    """Return every checkpoint, the newest first; a displaced one comes after the new one of the same step."""
    folder = _folder(run)
    paths = folder.glob("*") if atomic.is_directory(folder) else ()
    found = [path for path in paths if re.fullmatch(rf"[0-9]{{12,}}({DISPLACED})?", path.name)]
    return sorted(found, key=lambda path: (-_step(path), len(path.name)))


def _of_step(run: Path, step: int) -> Path:
    for path in _paths(run):
        if _step(path) == step:
            return path
    raise CheckpointError(f"{run.name} has no checkpoint of step {step}; it has {_steps_text(run)}.")


def _step(path: Path) -> int:
    return int(path.name.removesuffix(DISPLACED))


def _steps_text(run: Path) -> str:
    return ", ".join(str(_step(path)) for path in _paths(run)) or "none yet"
