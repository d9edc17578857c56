"""Checkpoints: directories that are whole and verified, or not there.

``checkpoints/000000800000/`` holds ``state.safetensors``, ``workers.json`` and a manifest of their sha256. It is
written under a hidden name, synced, read back, and only then renamed into place. Nothing here unpickles.
"""

import json
import re
import secrets
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from asyncrl.store import manifest
from asyncrl.store.atomic import read_object, replace_file, sync_directory
from asyncrl.store.manifest import CheckpointError, DamagedError, NoCheckpointError

__all__ = ["Best", "Checkpoint", "CheckpointError", "best", "count", "forget_best", "load", "mark_best", "save"]

STATE, WORKERS, BEST = "state.safetensors", "workers.json", "best.json"
DISPLACED = "-displaced"  # by another of the same step, until that one has its name


class Checkpoint(NamedTuple):
    """Everything a run needs in order to go on."""

    step: int  # T
    tensors: dict[str, Tensor]  # θ, θ⁻, g, counters; copied when saved
    workers: list[dict[str, Any]]  # one each; JSON, so tuples come back as lists
    meta: dict[str, Any]  # the rest: progress made, the configuration; JSON, too

    @property
    def evaluated(self) -> Tensor:
        """Return the ``[P]`` weights to play with: the running average of θ where the run kept one, else θ."""
        return self.tensors.get("average", self.tensors["theta"])


class Best(NamedTuple):
    """The checkpoint with the highest mean score of an evaluation."""

    step: int
    score: float


def save(run: Path, checkpoint: Checkpoint, keep: int = 3) -> Path:
    """Write a checkpoint and return its directory; then remove old ones but the newest ``keep`` (≥ 2) and the best.

    Raises:
        OSError: the disk is full, or did not give back what was written; the checkpoints before are as they were.
    """
    folder = _folder(run)
    if not folder.exists():
        folder.mkdir()
        sync_directory(run)
    for stale in folder.glob(".tmp-*"):  # what a crash left
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    path, hidden = folder / f"{checkpoint.step:012d}", _hidden(folder)
    displaced = path.with_name(path.name + DISPLACED)
    try:
        manifest.write(hidden, _files(checkpoint), step=checkpoint.step, meta=checkpoint.meta)
        if path.exists():
            _remove(displaced)
            path.rename(displaced)
        hidden.rename(path)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    sync_directory(folder)
    _remove(displaced)
    _prune(run, checkpoint.step, keep)
    return path


def load(run: Path, which: str = "last") -> Checkpoint:
    """Return the ``last`` checkpoint, the ``best`` one, or that of a step, after verifying every file.

    Where the last one is damaged, the newest that is whole is taken instead, with one warning.

    Raises:
        CheckpointError: there is none such, it is damaged, or a newer asyncrl wrote it.
    """
    if which == "last":
        return _load_last(run)
    if which == "best":
        named = best(run)
        if named is None:
            raise CheckpointError(f"{run.name} has no best checkpoint yet: the first evaluation names one.")
        step = named.step
    elif re.fullmatch(r"[0-9]+", which):
        step = int(which)
    else:
        raise CheckpointError(f"A checkpoint is 'last', 'best' or a step ({_known(run)}); got {which!r}.")
    return _read(_of_step(run, step))


def mark_best(run: Path, step: int, score: float) -> None:
    """Name a saved checkpoint the best so far, never to be pruned; raise CheckpointError if that step is not saved."""
    path = _of_step(run, step)
    replace_file(path.with_name(BEST), json.dumps({"step": step, "score": score}).encode() + b"\n")


def forget_best(run: Path, step: int) -> None:
    """Name no checkpoint the best if that is one of a later step."""
    named = best(run)
    if named is not None and named.step > step:
        (_folder(run) / BEST).unlink()


def best(run: Path) -> Best | None:
    """Return which checkpoint is the best so far, or None where none was named."""
    try:
        entries = read_object(_folder(run) / BEST)
        return Best(int(entries["step"]), float(entries["score"]))
    except (FileNotFoundError, KeyError, TypeError, ValueError, OverflowError):  # none was named, or it is damaged
        return None


def count(run: Path) -> int:
    """Return how many checkpoints there are, whole or not."""
    return len(_paths(run))


def _load_last(run: Path) -> Checkpoint:
    damaged: list[str] = []
    for path in _paths(run):
        try:
            checkpoint = _read(path)
        except DamagedError as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(f"{' '.join(damaged)} Going back to step {checkpoint.step}.", stacklevel=3)
        return checkpoint
    if damaged:
        raise NoCheckpointError(f"No checkpoint of {run.name} is whole. {' '.join(damaged)}")
    raise NoCheckpointError(f"{run.name} has no checkpoint yet.")


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.tensors.items()}
    return {STATE: safetensors.torch.save(tensors), WORKERS: json.dumps(checkpoint.workers).encode()}


def _read(path: Path) -> Checkpoint:
    entries, files = manifest.read(path, (STATE, WORKERS))
    try:
        tensors, workers = safetensors.torch.load(files[STATE]), json.loads(files[WORKERS])
        return Checkpoint(entries["step"], tensors, workers, entries["meta"])
    except (SafetensorError, ValueError, KeyError):
        raise DamagedError(f"The checkpoint {path} is damaged: its files are of another kind.") from None


def _prune(run: Path, newest: int, keep: int) -> None:
    """Remove what is older than the ``keep`` newest that are whole, but never the best or the one just written."""
    named = best(run)
    spared = (newest, named.step if named else None)
    oldest = min([_step(path) for path in _paths(run) if _is_whole(path)][: max(keep, 2)], default=0)
    for path in _paths(run):
        if _step(path) < oldest and _step(path) not in spared:
            _remove(path)


def _is_whole(path: Path) -> bool:
    try:
        manifest.read(path, (STATE, WORKERS))
    except CheckpointError:
        return False
    return True


def _remove(path: Path) -> None:
    """Take a checkpoint away: out of sight at once, so that a crash leaves no part of it to be found."""
    if path.exists():
        hidden = _hidden(path.parent)
        path.rename(hidden)
        shutil.rmtree(hidden)


def _folder(run: Path) -> Path:
    return run / "checkpoints"


def _hidden(folder: Path) -> Path:
    return folder / f".tmp-{secrets.token_hex(4)}"


def _paths(run: Path) -> list[Path]:
    """Return every checkpoint, the newest first; a displaced one after that of the same step."""
    found = [path for path in _folder(run).glob("*") if re.fullmatch(rf"[0-9]{{12,}}({DISPLACED})?", path.name)]
    return sorted(found, key=lambda path: (-_step(path), len(path.name)))


def _of_step(run: Path, step: int) -> Path:
    for path in _paths(run):
        if _step(path) == step:
            return path
    raise CheckpointError(f"{run.name} has no checkpoint of step {step}; it has {_known(run)}.")


def _step(path: Path) -> int:
    return int(path.name.removesuffix(DISPLACED))


def _known(run: Path) -> str:
    return ", ".join(str(_step(path)) for path in _paths(run)) or "none yet"
