"""A directory of files with a manifest of their sha256: it verifies to the last bit, or it is damaged."""

import json
from collections.abc import Iterable, Mapping
from errno import EIO
from hashlib import sha256
from pathlib import Path
from typing import Any

from asyncrl.errors import Exit, InputError
from asyncrl.store.atomic import read_object, sync_directory, write_synced
from asyncrl.store.provenance import versions

FORMAT = 1
MANIFEST = "manifest.json"


class CheckpointError(InputError):
    """No checkpoint that was asked for can be loaded."""


class NoCheckpointError(CheckpointError):
    """A run has no checkpoint that could be used."""

    code = Exit.NO_CHECKPOINT


class DamagedError(NoCheckpointError):
    """A directory is not what was once written."""


def write(path: Path, files: Mapping[str, bytes], **entries: object) -> None:
    """Make a directory of files, the manifest last, synced; raise OSError unless it reads back as it was written."""
    hashes = {name: sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"format": FORMAT, "versions": versions(), **entries, "sha256": hashes}
    manifest = json.loads(json.dumps(manifest))  # as a reader will have it: keys are text
    manifest["digest"] = _digest(manifest)
    path.mkdir()
    for name, data in files.items():
        write_synced(path / name, data)
    write_synced(path / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
    sync_directory(path)
    try:
        read(path, files)
    except DamagedError as error:
        raise OSError(EIO, str(error)) from error


def read(path: Path, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the contents of the named files.

    Raises:
        DamagedError: a byte is not as it was written.
        CheckpointError: a newer asyncrl wrote it.
    """
    try:
        manifest = read_object(path / MANIFEST)
        if manifest.pop("digest", None) != _digest(manifest):
            raise DamagedError(f"The checkpoint {path} is damaged: {MANIFEST} is not as it was written.")
        if manifest["format"] > FORMAT:
            theirs = f"format {manifest['format']}; this one reads up to {FORMAT}"
            raise CheckpointError(f"The checkpoint {path} was written by a newer asyncrl ({theirs}).")
        files = {name: (path / name).read_bytes() for name in names}
        for name, data in files.items():
            if sha256(data).hexdigest() != manifest["sha256"][name]:
                raise DamagedError(f"The checkpoint {path} is damaged: {name} is not as it was written.")
    except OSError as error:
        missing = Path(error.filename).name if error.filename else "a file"
        raise DamagedError(f"The checkpoint {path} is damaged: {missing}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"The checkpoint {path} is damaged: {MANIFEST} makes no sense.") from None
    return manifest, files


def _digest(manifest: Mapping[str, object]) -> str:
    """Return the sha256 of a manifest without its own digest; this stays so in every format."""
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
