"""Directories of sweeps: those whose runs are directories, and published ones, whose runs are rows of tables."""

import os
from pathlib import Path

from asyncrl.errors import InputError, nearest, shown
from asyncrl.store.document import DOCUMENT

DECLARATION = "sweep.toml"  # marks the directory of a sweep, whose runs are the directories in it
PUBLISHED = "runs.parquet"  # marks the directory of a published sweep; see store.published


def folders(root: Path) -> list[Path]:
    """Return the directories in a directory; raise InputError if it cannot be read."""
    try:
        with os.scandir(root) as entries:
            return [Path(entry) for entry in entries if os.path.isdir(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"Cannot read {root}: {error.strerror}.") from None


def is_published(path: Path) -> bool:
    """Return whether a directory holds a published sweep."""
    return os.path.lexists(path / PUBLISHED) and not os.path.lexists(path / DECLARATION)


def is_sweep(path: Path) -> bool:
    """Return whether a directory holds a sweep: its file and its cells' runs, or the tables of a published one."""
    return os.path.isfile(path / DECLARATION) or is_published(path)


def list_sweeps(root: Path) -> list[Path]:
    """Return the sweeps in a directory, sorted by name."""
    return sorted(folder for folder in folders(root) if is_sweep(folder))


def find_sweep(root: Path, query: str) -> Path:
    """Return the sweep of a name, of the beginning of one, or of a path; raise InputError if none or many."""
    for path in (root / query, Path(query)):
        if query and is_sweep(path):
            return path
        if query and os.path.lexists(path / DOCUMENT):
            raise InputError(f"{path} is a run, and not a sweep. See: asyncrl show {path}")
    names = [sweep.name for sweep in list_sweeps(root)]
    matches = [name for name in names if query and name.startswith(query)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise InputError(f"{query!r} matches {len(matches)} sweeps: {', '.join(matches[:5])}. Type more of it.")
    near = nearest(query, names) or (f" There are {', '.join(names[:5])}." if names else " It has no sweeps yet.")
    raise InputError(f"There is no sweep {shown(query)} in {root}.{near}")
