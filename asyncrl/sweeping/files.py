"""Finds the file of a sweep: a path, or the name of one that the package brings."""

from importlib.resources import files
from pathlib import Path

from asyncrl.errors import InputError, nearest


def shipped() -> dict[str, Path]:
    """Return the files that the package brings, by name: ``figure2``, ``small/figure1``."""
    package = Path(str(files("asyncrl")))
    # In a wheel they are inside the package; in a checkout, beside it.
    for folder in (package / "sweeps", package.parent / "sweeps"):
        if folder.is_dir():
            return {str(file.relative_to(folder).with_suffix("")): file for file in sorted(folder.rglob("*.toml"))}
    return {}


def find(name: str) -> tuple[str, Path]:
    """Return the name of a sweep and its file; raise InputError if there is none."""
    path = Path(name)
    if path.is_file():
        return path.stem, path
    known = shipped()
    if name in known:
        return name.replace("/", "-"), known[name]
    near = nearest(name, known) or nearest(path.stem, known)
    raise InputError(f"There is no file {name!r}, and no sweep of that name.{near} There are {', '.join(known)}.")
