"""Directories of files with a manifest of their sha256, which finds every changed bit."""

import json
from collections.abc import Iterable, Mapping
from errno import EIO
from hashlib import sha256
from pathlib import Path
from typing import Any

from asyncrl.errors import Exit, InputError
from asyncrl.store.atomic import parse_object, sync_directory, write_synced
from asyncrl.store.provenance import versions
from asyncrl.system.files import read_regular

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILE_BYTES = 4 << 30  # of one file, which is read as a whole


class CheckpointError(InputError):
    """The requested checkpoint cannot be loaded."""


class NoCheckpointError(CheckpointError):
    """A run has no usable checkpoint."""

    code = Exit.NO_CHECKPOINT


class DamagedError(NoCheckpointError):
    """The contents of a directory differ from what was written."""


def write(path: Path, files: Mapping[str, bytes], **entries: object) -> None:
    """Write and sync a directory of files, the manifest last; raise OSError if it reads back differently."""
    hashes = {name: sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"format": FORMAT, "versions": versions(), **entries, "sha256": hashes}
    # The digest is of the manifest after JSON, which turns keys into text.
    manifest = json.loads(json.dumps(manifest))
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
        DamagedError: a file is missing or changed.
        CheckpointError: a newer asyncrl wrote the directory.
    """
    try:
        if path.is_symlink():
            raise DamagedError(f"The checkpoint {path} is damaged: it is a link.")
        manifest = parse_object(read_regular(path / MANIFEST, MAX_FILE_BYTES))
        if manifest.pop("digest", None) != _digest(manifest):
            raise DamagedError(f"The checkpoint {path} is damaged: {MANIFEST} has changed.")
        if type(manifest["format"]) is not int or manifest["format"] < 1:
            raise ValueError
        if manifest["format"] > FORMAT:
            formats = f"format {manifest['format']}; this one reads up to {FORMAT}"
            raise CheckpointError(f"The checkpoint {path} was written by a newer asyncrl ({formats}).")
        files = {name: read_regular(path / name, MAX_FILE_BYTES) for name in names}
        for name, data in files.items():
            if sha256(data).hexdigest() != manifest["sha256"][name]:
                raise DamagedError(f"The checkpoint {path} is damaged: {name} has changed.")
    except OSError as error:
        missing = Path(error.filename).name if error.filename else "a file"
        raise DamagedError(f"The checkpoint {path} is damaged: {missing}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedError(f"The checkpoint {path} is damaged: {MANIFEST} has no valid entries.") from None
    return manifest, files


def _digest(manifest: Mapping[str, object]) -> str:
    """Return the sha256 of a manifest without its own digest; no later format may change this."""
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
