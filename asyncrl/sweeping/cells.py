"""The cells of a sweep on disk: whether each is finished, begun or missing, and the settings of its training.

The directories of the runs are the only state of a sweep, so a driver may be killed at any instant.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asyncrl import config
from asyncrl.errors import InputError
from asyncrl.store import atomic, checkpoint, rows, runs
from asyncrl.store.document import NoDocumentError, RunDocument, Status, read_document
from asyncrl.store.sweeps import DECLARATION
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import Declaration, parse
from asyncrl.sweeping.plan import normalised
from asyncrl.text import shorten

# settings that change no result; in simulated time checkpoints.every does
MAY_DIFFER = ("log_seconds", "profile", "trackers", "checkpoints.", "workers.restarts", "workers.hang_seconds")
SHOWN_DIFFERENCES = 5
MAX_VALUE = 60  # characters of a value in a message
SET_ASIDE = "set-aside"  # a directory of the sweep: damaged runs that were in the place of its cells


class CellState(StrEnum):
    """The state of a cell, as its directory shows it."""

    MISSING = "missing"
    BEGUN = "begun"  # it can be resumed, or must start anew if it has no checkpoint
    FAILED = "failed"
    FINISHED = "finished"


def state(run: Path) -> CellState:
    """Return the state of the cell in a directory; a damaged run counts as begun."""
    try:
        document = read_document(run)
    except InputError:
        return CellState.BEGUN if run.exists() else CellState.MISSING
    if document.get("status") == Status.FINISHED:
        return CellState.FINISHED
    return CellState.FAILED if document.get("status") == Status.FAILED else CellState.BEGUN


def document(run: Path) -> RunDocument | None:
    """Return the document of a cell; None if it has none that can be read."""
    try:
        return RunDocument.model_validate(read_document(run))
    except (InputError, ValidationError):
        return None


def frames(run: Path) -> int:
    """Return how many frames a run has made, by its last row of metrics or its document."""
    row = rows.last_row(run, "metrics")
    if row and isinstance(row.get("frames"), int):
        return int(row["frames"])
    found = document(run)
    return found.frames if found else 0


def set_aside_damage(run: Path) -> Path | None:
    """Move what has the place of a cell but cannot be resumed to ``set-aside/``; return its new path.

    A directory without any checkpoint, of a run that was killed early, stays for ``prepare``.

    Raises:
        InputError: it cannot be moved, or its run.json cannot be read at present.
    """
    if not os.path.lexists(run) or runs.is_held(run):
        return None
    if atomic.is_directory(run):
        if not checkpoint.count(run):
            return None
        try:
            read_document(run)
            return None
        except NoDocumentError:
            pass
    kept = run.parent / SET_ASIDE / f"{run.name}-{secrets.token_hex(4)}"
    try:
        kept.parent.mkdir(exist_ok=True)
        run.rename(kept)
    except OSError as error:
        raise InputError(f"{run} cannot be resumed, nor moved to {kept.parent}: {error.strerror}.") from None
    return kept


def prepare(run: Path) -> bool:
    """Make the directory of a cell ready for its process, and return whether to resume it.

    A directory without any checkpoint, of a run that was killed early, is removed: nothing can be resumed.
    """
    if not os.path.lexists(run):
        return False
    if not atomic.is_directory(run) or checkpoint.count(run):
        # a resume raises the error where it is not possible
        return True
    shutil.rmtree(run)
    return False


def check_settings(root: Path, cells: Sequence[Cell]) -> list[Cell]:
    """Return the finished cells.

    A setting that did not exist when a cell was trained counts as its default.

    Raises:
        InputError: a begun or finished cell was trained with other settings, or by a newer asyncrl, or cannot be read.
    """
    finished, changed = [], []
    for cell in cells:
        if not atomic.is_directory(root / cell.name):
            continue
        try:
            document = read_document(root / cell.name)
        except NoDocumentError:
            continue
        if difference := _difference(document, cell):
            changed.append(f"{cell.name}: {difference}")
        elif document.get("status") == Status.FINISHED:
            finished.append(cell)
    if changed:
        more = f"\n… and {len(changed) - SHOWN_DIFFERENCES} more" if len(changed) > SHOWN_DIFFERENCES else ""
        raise InputError(
            "Cells of this sweep were trained with settings that this version of asyncrl would not choose. "
            "Give the sweep a new name (--name).\n" + "\n".join(changed[:SHOWN_DIFFERENCES]) + more
        )
    return finished


def _difference(document: dict[str, Any], cell: Cell) -> str:
    """Return the settings in which a stored run differs from its cell, as text."""
    try:
        old = config.flatten(config.build(document.get("config", {})).model_dump(mode="json"))
    except InputError as error:
        return f"its settings cannot be read: {error}"
    new = config.flatten(config.with_barriers(cell.config).model_dump(mode="json"))
    # arguments of an environment may be missing in one of them
    compared = [name for name in dict.fromkeys((*new, *old)) if not name.startswith(MAY_DIFFER)]
    compared += ["checkpoints.every"] if cell.config.is_simulated else []
    differing = [name for name in compared if old.get(name) != new.get(name)]
    return ", ".join(f"{name} (it was {old.get(name)}, now {new.get(name)})" for name in differing[:SHOWN_DIFFERENCES])


def compare_declaration(root: Path, declaration: Declaration) -> None:
    """Compare a sweep's file with the one in its directory.

    More values in ``[vary]``, more seeds and a larger n extend a sweep; of a search, only a larger n does.

    Raises:
        InputError: ``[base]``, the draws or the space of a search differ, so the cells there are of another sweep; or
            ``[base]`` is not valid by itself, so that it could not be compared later.
    """
    try:
        normalised(declaration.base)
    except InputError as error:
        raise InputError(
            f"[base] must be valid without [vary]; what belongs together varies together: {error}"
        ) from None
    file = root / DECLARATION
    if not file.exists():
        return
    try:
        old = parse(config.read_toml(file))
    except InputError as error:
        raise InputError(
            f"{file} is damaged: {error} If the cells beside it are of this sweep, copy the sweep's file over it; "
            "if not, give this sweep a new name (--name)."
        ) from None
    if told := "; ".join(_changes(old, declaration)):
        raise InputError(f"The sweep in {root} has other settings: {told}. Give this one a new name (--name).")


def keep_declaration(root: Path, declaration: Declaration, text: str) -> None:
    """Write the text of a sweep's file into its directory, after ``compare_declaration``."""
    compare_declaration(root, declaration)
    try:
        atomic.replace_file(root / DECLARATION, text.encode())
    except OSError as error:
        raise InputError(f"Cannot write to {root}: {error.strerror}.") from None


def _changes(old: Declaration, new: Declaration) -> Iterator[str]:
    before, now = normalised(old.base), normalised(new.base)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name} was {before.get(name, 'not set')}, now {now.get(name, 'not set')}"
    is_search = new.sweep.kind == "optuna"
    for name, value in old.sweep.model_dump(exclude={"n"} if is_search else {"n", "seeds"}).items():
        if value != getattr(new.sweep, name):
            yield f"{name} in [sweep] was {_text(value)}, now {_text(getattr(new.sweep, name))}"
    if new.sweep.kind == "grid":
        return
    # Draws of other ranges are other points, and a larger n extends those that there are.
    for name in sorted(old.ranges.keys() | new.ranges.keys()):
        if old.ranges.get(name) != new.ranges.get(name):
            yield f"the range of {name} was {_range(old, name)}, now {_range(new, name)}"
    # A study has one set of values for each parameter, and its trials the same runs.
    for names in sorted(old.choices.keys() | new.choices.keys()) if is_search else ():
        if old.choices.get(names) != new.choices.get(names):
            yield f"the values of {', '.join(names)} were {_values(old, names)}, now {_values(new, names)}"


def _values(declaration: Declaration, names: tuple[str, ...]) -> str:
    rows = declaration.choices.get(names, ())
    return _text([row[0] if len(names) == 1 else list(row) for row in rows]) if rows else "not there"


def _text(value: object) -> str:
    return shorten(str(list(value) if isinstance(value, tuple) else value), MAX_VALUE)


def _range(declaration: Declaration, name: str) -> str:
    found = declaration.ranges.get(name)
    return f"{found.low:g} to {found.high:g}{' (log)' * found.log}" if found else "not there"
