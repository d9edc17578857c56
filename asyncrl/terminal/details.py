"""The page of one run, as ``asyncrl show`` prints it, in 80 columns where possible."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from asyncrl.store.document import PROGRESS_COLUMNS, SIMULATED, RunDocument
from asyncrl.store.summary import Details
from asyncrl.terminal.console import escaped
from asyncrl.terminal.rendering import best_evaluation, date_text, progress_text, status_text, time_text
from asyncrl.terminal.table import Column, lay_out
from asyncrl.text import NOTHING, count, counted, escape, number, score

IN_TITLE = ("algo", "env", "threads", "network", "seed", "frames", "preset")  # not repeated among the settings
SHOWN_FAILURES = 5
ESSENTIAL = 3  # columns of a table that it has at any width: those of the lowest ranks
INDENT = 2  # of what is below the title of a block
MEANINGS = {  # of the columns of metrics.jsonl; docs/metrics.md has more
    "frames_per_second": "frames of all workers per second of training",
    "learning_rate": "η at that time",
    "skipped": "updates not applied: gradient not finite",
    "restarts": "workers that failed and were replaced",
    "loss": "loss per step, before clipping",
    "grad_norm": "norm of a rollout's gradient, before clipping",
    "policy_lag": "updates by others between pull and update",
    "entropy": "of the policy; high: nearly random actions",
    "value": "mean of V, the return that the agent expects",
    "q": "mean of Q, the return that the agent expects",
    "td_error": "mean distance between Q and its target",
}


def details_page(details: Details, width: int) -> list[RenderableType]:
    """Lay out what ``summary.details`` returns for a run, except ``learning``, in a terminal of ``width`` columns."""
    places = _places(details)
    details = escaped(details)
    document = RunDocument.model_validate(details)
    room = width - INDENT
    blocks = (
        _title(details, document),
        _reason(document, places),
        _damaged_rows(details),
        _recovered_failures(details),
        _changed_settings(details, document),
        _provenance(document),
        _metrics(details, room),
        _profile(details, room),
        _evaluations(details, document, room),
        _workers(details, room),
    )
    lines: list[RenderableType] = []
    for block in blocks:
        if shown := list(block):
            lines += [*([""] if lines else []), *shown]
    return lines


def _places(details: Details) -> list[str]:
    """Return the last "File …" line of the traceback with which the run ended; run.json has all of it."""
    failure = details.get("failure")
    traceback = failure.get("traceback") if isinstance(failure, Mapping) else None
    lines = traceback.split("\n") if isinstance(traceback, str) else []
    return [line.strip() for line in lines if line.lstrip().startswith("File ")][-1:]


def _title(details: Details, document: RunDocument) -> Iterator[RenderableType]:
    config = document.config
    yield Text.assemble((document.id or NOTHING, "bold"), "   ", status_text(document.status))
    times = time_text(document) + " of training" * (document.clock != SIMULATED)
    task = f"{config.get('algo')} on {config.get('env')}, {counted(config.get('threads') or 0, 'thread')}"
    network = f"{config.get('network')} with {count(document.parameters)} parameters"
    work = f"{count(document.steps)} steps, {count(document.updates)} updates"
    lines = (
        f"{task}, {network}, seed {config.get('seed')}",
        f"{progress_text(document)}, {work}, {times}",
        f"started {date_text(document.started)}",
        details["path"],
    )
    for line in lines:
        yield Text(" " * INDENT + line, no_wrap=True, overflow="ignore")


def _reason(document: RunDocument, places: Sequence[str]) -> Iterator[RenderableType]:
    """Give the reason for the status, and where in the code it arose."""
    if document.reason:
        yield from _titled("Why it ended", document.reason, *map(escape, places))


def _damaged_rows(details: Details) -> Iterator[RenderableType]:
    if details["damaged_rows"]:
        files = ", ".join(f"{damaged} of {name}" for name, damaged in details["damaged_rows"].items())
        yield from _titled("Damaged rows, which are left out", files)


def _recovered_failures(details: Details) -> Iterator[RenderableType]:
    """List the failures after which training continued; failures.jsonl has their tracebacks."""
    rows = [row for row in details["failures"] if not row["is_final"]]
    if rows:
        grid = _grid("frames", "worker", "")
        for row in rows[-SHOWN_FAILURES:]:
            worker = str(row["worker"]) if row["worker"] >= 0 else "none"
            grid.add_row(count(row["frames"]), worker, row["reason"])
        yield from _titled(f"Failures after which training continued: {len(rows)}", grid)


def _changed_settings(details: Details, document: RunDocument) -> Iterator[RenderableType]:
    """List what the user set; what the preset set is said by its name."""
    names = [name for name in details["changed"] if name not in IN_TITLE]
    preset = document.config.get("preset", "paper")
    if not names:
        yield from _titled("Settings", f"those of the preset {preset}")
        return
    grid = _grid()
    for name in names:
        value, default = (_setting(details["changed"][name][which]) for which in ("value", "default"))
        grid.add_row(name, value, Text(f"instead of {default}", "dim"))
    yield from _titled(f"Settings that differ from the preset {preset}", grid)


def _setting(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _provenance(document: RunDocument) -> Iterator[RenderableType]:
    made = document.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items() if version)
    commit = f"commit {made.commit[:12]}{' with uncommitted changes' if made.dirty else ''}" if made.commit else ""
    cores = f"{made.cpu}, {made.usable_cores} of {made.cores} cores" if made.cpu else ""
    compiled = "without the compiled kernels" if made.compiled is False else ""
    yield from _titled("Made with", *filter(None, (versions, commit, cores, compiled)))


def _metrics(details: Details, room: int) -> Iterator[RenderableType]:
    metrics = details["metrics"]
    if metrics:
        names = [name for name in metrics if name not in PROGRESS_COLUMNS and not name.endswith("_us")]
        columns = [
            _column("metric", [name.replace("_", " ") for name in names], 0, is_text=True),
            _column("value", [number(metrics[name]) for name in names], 1),
            _column("meaning", [Text(MEANINGS.get(name, ""), "dim") for name in names], ESSENTIAL, is_text=True),
        ]
        yield from _titled(f"Metrics at {count(metrics['frames'])} frames", *lay_out(columns, room))


def _profile(details: Details, room: int) -> Iterator[RenderableType]:
    profile: Mapping[str, float] = details["profile"]
    if profile:
        total = sum(profile.values())
        phases = sorted(profile.items(), key=lambda pair: -pair[1])
        columns = [
            _column("phase", [phase for phase, _ in phases], 0),
            _column("µs per step", [f"{value:.1f}" for _, value in phases], 1),
            _column("share", [f"{value / total:.0%}" if total else NOTHING for _, value in phases], 2),
        ]
        yield from _titled("Time of a worker by phase", *lay_out(columns, room))


def _evaluations(details: Details, document: RunDocument, room: int) -> Iterator[RenderableType]:
    rows = details["evaluations"]
    if not rows:
        is_off = document.config.get("evaluation", {}).get("episodes") == 0
        reason = "none, since evaluation.episodes is 0" if is_off else "none has ended yet"
        yield from _titled("Evaluations", f"{reason}; asyncrl eval makes one of a checkpoint")
        return
    best = best_evaluation(rows)
    columns = [
        _column("frames", [count(row["frames"]) for row in rows], 0),
        _column("mean", [score(row["mean"]) for row in rows], 1),
        _column("std", [score(row["std"]) for row in rows], 3),
        _column("median", [score(row["median"]) for row in rows], 5),
        _column("episodes", [count(row["episodes"]) for row in rows], 4),
        _column("protocol", [row["protocol"] for row in rows], 7, is_text=True),
        _column("kind", [row["kind"] for row in rows], 6, is_text=True),
        _column("", [Text("best" if row is best else "", "green") for row in rows], 2, is_text=True),
    ]
    yield from _titled("Evaluations", *lay_out(columns, room))


def _workers(details: Details, room: int) -> Iterator[RenderableType]:
    rows = details["workers"]
    if not rows:
        return
    columns = [
        _column("worker", [str(row["worker"]) for row in rows], 0),
        _column("episodes", [count(row["games"]) for row in rows], 3),
        _column("last", [score(row["last"]) for row in rows], 2),
        _column("recent mean", [score(row["mean"]) for row in rows], 1),
        _column("best", [score(row["best"]) for row in rows], 4),
    ]
    if any(row["epsilon"] is not None for row in rows):  # policy methods have none
        columns.append(_column("ε", [number(row["epsilon"]) for row in rows], 5))
    yield from _titled("Training episodes by worker", *lay_out(columns, room))


def _titled(title: str, *body: Table | Text | str) -> Iterator[RenderableType]:
    """Yield a title, and what is below it, indented."""
    yield Text(title, "bold")
    for part in body:
        if isinstance(part, Table):
            yield part
        elif isinstance(part, Text):  # a line of a table
            yield Text(" " * INDENT, no_wrap=True, overflow="ignore").append(part)
        else:
            yield Padding(Text(part), (0, 0, 0, INDENT), expand=False)


def _column(header: str, cells: Sequence[str | Text], rank: int, *, is_text: bool = False) -> Column:
    texts = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells]
    return Column(header, texts, rank, is_essential=rank < ESSENTIAL, is_right=not is_text)


def _grid(*header: str) -> Table:
    """Return an indented table without lines, whose last column is a text that is wrapped."""
    grid = Table(box=None, padding=(0, 0, 0, INDENT), header_style="dim", show_header=bool(header))
    for name in header:
        grid.add_column(name, justify="right" if name else "left", no_wrap=name != "")
    return grid
