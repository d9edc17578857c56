"""Checkpoints whose contents lie while their digests are correct."""

import json
from hashlib import sha256
from pathlib import Path

import safetensors.torch


def forge(path: Path, change) -> None:
    """Change a checkpoint by ``change(tensors, workers, manifest)``, and sign it again."""
    state, workers, manifest = (path / name for name in ("state.safetensors", "workers.json", "manifest.json"))
    tensors, states = safetensors.torch.load(state.read_bytes()), json.loads(workers.read_text())
    entries = json.loads(manifest.read_text())
    del entries["digest"]
    change(tensors, states, entries)
    state.write_bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    workers.write_text(json.dumps(states))
    entries["sha256"] = {file.name: sha256(file.read_bytes()).hexdigest() for file in (state, workers)}
    # As manifest.py reads it: keys are text.
    entries = json.loads(json.dumps(entries))
    entries["digest"] = sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    manifest.write_text(json.dumps(entries))


def steps_of(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints, the newest first."""
    return sorted((int(path.name) for path in (run / "checkpoints").glob("0*") if path.name.isdigit()), reverse=True)


def newest(run: Path) -> Path:
    """Return the directory of a run's newest checkpoint."""
    return run / "checkpoints" / f"{steps_of(run)[0]:012d}"
