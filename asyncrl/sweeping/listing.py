"""Sweeps of a results directory as plain dictionaries: for ``asyncrl ls`` and scripts. Nothing here imports torch."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncrl.errors import InputError
from asyncrl.store import query, runs
from asyncrl.store.document import DOCUMENT, Status, read_document
from asyncrl.store.sweeps import DECLARATION, PUBLISHED, is_published, list_sweeps
from asyncrl.sweeping import declaration, study_file
from asyncrl.sweeping.declaration import Declaration

Summary = dict[str, Any]  # one sweep in the output of `asyncrl ls --json`; its ``kind`` tells it from a run
MAX_BYTES = 1 << 20  # of a sweep's file
FAILED = (Status.FAILED, Status.DAMAGED)


def summaries(root: Path) -> list[Summary]:
    """Return a summary of each sweep in a directory, sorted by name."""
    return [_summary(sweep) for sweep in list_sweeps(root)]


def _summary(sweep: Path) -> Summary:
    if is_published(sweep):
        found = [document for _, document in query.select(sweep)]
        # A file that cannot be read is one document with the reason.
        reason = found[0]["reason"] if len(found) == 1 and "config" not in found[0] else None
        states = Counter(str(document.get("status")) for document in found)
        return _with_counts(sweep, "published", states, len(found), reason, [sweep / PUBLISHED])
    kind = total = reason = None
    is_told = False
    try:
        declared = _read(sweep / DECLARATION)
        kind, total = declared.sweep.kind, declared.cell_count
        is_told = kind == "optuna" and study_file.is_told(sweep, declared.sweep.n or 0)
    except InputError as error:
        reason = str(error)
    cells = [*runs.list_runs(sweep), *runs.runs_without_document(sweep)]
    states = Counter(map(_status, cells))
    files = [sweep / DECLARATION, *(cell / DOCUMENT for cell in cells)]
    # Cells of an earlier, larger declaration may be there. The trials of a search may share cells.
    total = len(cells) if is_told else max(total or 0, len(cells))
    summary = _with_counts(sweep, kind, states, total, reason, files)
    if is_told and summary["status"] == Status.INTERRUPTED:
        # a pruned trial has cells that are not trained to their end
        summary["status"] = Status.FINISHED
    return summary


def _with_counts(
    sweep: Path, kind: str | None, states: Mapping[str, int], total: int, reason: str | None, files: Iterable[Path]
) -> Summary:
    counts = {"finished": states.get(Status.FINISHED, 0), "running": states.get(Status.RUNNING, 0)}
    counts |= {"failed": sum(states.get(status, 0) for status in FAILED)}
    return {
        "id": sweep.name,
        "path": str(sweep),
        "kind": kind,
        **counts,
        "total": total,
        "status": Status.DAMAGED if reason else _status_of(counts, total, runs.is_held(sweep)),
        "reason": reason,
        "changed": _last_change(files),
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


def _status(cell: Path) -> str:
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
