"""Sweeps of a results directory as plain dictionaries: for ``asyncrl ls`` and scripts. Nothing here imports torch."""

import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncrl.errors import InputError, nearest
from asyncrl.store import runs
from asyncrl.store.document import DOCUMENT, Status, read_document
from asyncrl.sweep import declaration
from asyncrl.sweep.declaration import Declaration

Summary = dict[str, Any]  # one sweep in the output of `asyncrl ls --json`; its ``kind`` tells it from a run
MAX_BYTES = 1 << 20  # of a sweep's file
FAILED = (Status.FAILED, Status.DAMAGED)


def summaries(root: Path) -> list[Summary]:
    """Return a summary of each sweep in a directory, sorted by name."""
    return [_summary(sweep) for sweep in runs.list_sweeps(root)]


def _summary(sweep: Path) -> Summary:
    kind = total = reason = None
    try:
        declared = _read(sweep / runs.DECLARATION)
        kind, total = declared.sweep.kind, declared.cell_count
    except InputError as error:
        reason = str(error)
    cells = [*runs.list_runs(sweep), *runs.runs_without_document(sweep)]
    states = Counter(map(_status, cells))
    counts = {"finished": states[Status.FINISHED], "running": states[Status.RUNNING]}
    counts |= {"failed": sum(states[status] for status in FAILED)}
    # Some cells of an earlier, larger declaration may be there.
    total = max(total or 0, len(cells))
    return {
        "id": sweep.name,
        "path": str(sweep),
        "kind": kind,
        **counts,
        "total": total,
        "status": Status.DAMAGED if reason else _status_of(counts, total, runs.is_held(sweep)),
        "reason": reason,
        "changed": _last_change([sweep / runs.DECLARATION, *(cell / DOCUMENT for cell in cells)]),
    }


def _read(file: Path) -> Declaration:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file} has more than {MAX_BYTES:,} bytes.")
        return declaration.read(file)
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}.") from None
    except RecursionError:
        raise InputError(f"{file} is nested too deeply.") from None


def _status(cell: Path) -> str | None:
    """Return the status of a cell from its run.json alone, without a look at its rows."""
    try:
        status = read_document(cell).get("status")
    except InputError:
        return Status.DAMAGED
    if status == Status.RUNNING:
        return str(runs.document_or_damage(cell)["status"])
    return status if isinstance(status, str) else Status.DAMAGED


def _status_of(counts: dict[str, int], total: int, has_driver: bool) -> Status:
    if counts["running"] or has_driver:
        return Status.RUNNING
    if counts["finished"] == total:
        return Status.FINISHED
    return Status.FAILED if counts["failed"] else Status.INTERRUPTED


def _last_change(files: Iterable[Path]) -> str | None:
    """Return the time of the last change of any of the files, in ISO format; None if there are none."""
    last = max(map(runs.last_change, files), default=0.0)
    return datetime.fromtimestamp(last, UTC).isoformat(timespec="seconds") if last else None


def find(root: Path, query: str) -> Path:
    """Return the sweep of a name, of the beginning of one, or of a path; raise InputError if none or many."""
    for path in (root / query, Path(query)):
        if query and runs.is_sweep(path):
            return path
        if query and os.path.lexists(path / DOCUMENT):
            raise InputError(f"{path} is a run, and not a sweep. See: asyncrl show {path}")
    names = [sweep.name for sweep in runs.list_sweeps(root)]
    matches = [name for name in names if query and name.startswith(query)]
    if len(matches) == 1:
        return root / matches[0]
    if matches:
        raise InputError(f"{query!r} matches {len(matches)} sweeps: {', '.join(matches[:5])}. Type more of it.")
    known = nearest(query, names) or (f" There are {', '.join(names[:5])}." if names else "")
    raise InputError(f"There is no sweep {query!r} in {root}.{known or ' It holds no sweeps.'}")
