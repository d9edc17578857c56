"""The page of one run, as ``asyncrl show`` prints it, in 80 columns where possible."""

import json
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from asyncrl.store.document import PROGRESS_COLUMNS, RunDocument
from asyncrl.store.summary import Details
from asyncrl.terminal.rendering import best_evaluation, date_text, progress_text, status_text
from asyncrl.text import NOTHING, clock, count, counted, number, score

IN_TITLE = ("algo", "env", "threads", "network", "seed", "frames")  # not repeated among the changed settings
SHOWN_FAILURES = 5


def details_page(details: Details) -> RenderableType:
    """Lay out what ``summary.details`` returns for a run, except ``learning``."""
    document = RunDocument.model_validate(details)
    blocks = [
        _title(details, document),
        *_reason(document),
        *_damaged_rows(details),
        *_recovered_failures(details),
        *_changed_settings(details),
        _provenance(document),
        *_metrics(details),
        *_profile(details),
        *_evaluations(details),
        *_workers(details),
    ]
    return Group(*(Padding(block, (0, 0, 1, 0)) for block in blocks))


def _title(details: Details, document: RunDocument) -> RenderableType:
    config = document.config
    title = Text.assemble((document.id or NOTHING, "bold"), "   ", status_text(document.status))
    task = f"{config.get('algo')} on {config.get('env')}, {counted(config.get('threads') or 0, 'thread')}"
    network = f"{config.get('network')} with {count(document.parameters)} parameters"
    work = f"{count(document.steps)} steps, {count(document.updates)} updates"
    lines = [
        f"{task}, {network}, seed {config.get('seed')}",
        f"{progress_text(document)}, {work}, {clock(document.seconds)} of training",
        f"started {date_text(document.started)}",
        details["path"],
    ]
    return Group(title, *(Text(f"  {line}") for line in lines))


def _reason(document: RunDocument) -> Iterator[RenderableType]:
    """Give the reason for the status, with the last "File …" line of the traceback; run.json has all of it."""
    if document.reason:
        traceback = (document.failure.traceback if document.failure else None) or ""
        places = [line for line in traceback.splitlines() if line.lstrip().startswith("File ")]
        yield _block("Why it ended", "\n".join(f"  {line.strip()}" for line in (document.reason, *places[-1:])))


def _damaged_rows(details: Details) -> Iterator[RenderableType]:
    if details["damaged_rows"]:
        files = ", ".join(f"{damaged} of {name}" for name, damaged in details["damaged_rows"].items())
        yield _block("Damaged rows, which are left out", f"  {files}")


def _recovered_failures(details: Details) -> Iterator[RenderableType]:
    """List the failures after which training continued; failures.jsonl has their tracebacks."""
    rows = [row for row in details["failures"] if not row["is_final"]]
    if rows:
        grid = _grid("frames", "worker", "")
        for row in rows[-SHOWN_FAILURES:]:
            worker = str(row["worker"]) if row["worker"] >= 0 else NOTHING
            grid.add_row(count(row["frames"]), worker, Text(row["reason"]))
        yield _block(f"Failures after which training continued: {len(rows)}", grid)


def _changed_settings(details: Details) -> Iterator[RenderableType]:
    names = [name for name in details["changed"] if name not in IN_TITLE]
    if not names:
        return
    grid = _grid()
    for name in names:
        value, default = (json.dumps(details["changed"][name][which]) for which in ("value", "default"))
        grid.add_row(name, value, Text(f"instead of {default}", "dim"))
    yield _block("Settings that differ from the defaults", grid)


def _provenance(document: RunDocument) -> RenderableType:
    made = document.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items() if version)
    commit = f"commit {made.commit[:12]}{' with uncommitted changes' if made.dirty else ''}" if made.commit else ""
    cores = f"{made.cpu}, {made.usable_cores} of {made.cores} cores"
    compiled = "without the compiled kernels" if made.compiled is False else ""
    return _block("Made with", "\n".join(f"  {line}" for line in (versions, commit, cores, compiled) if line))


def _metrics(details: Details) -> Iterator[RenderableType]:
    metrics = details["metrics"]
    if metrics:
        shown = {
            name: value for name, value in metrics.items() if name not in PROGRESS_COLUMNS and not name.endswith("_us")
        }
        text = "   ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in shown.items())
        yield _block(f"Metrics at {count(metrics['frames'])} frames", f"  {text}")


def _profile(details: Details) -> Iterator[RenderableType]:
    profile: Mapping[str, float] = details["profile"]
    if profile:
        total = sum(profile.values())
        grid = _grid("phase", "µs per step", "share")
        for phase, value in sorted(profile.items(), key=lambda pair: -pair[1]):
            grid.add_row(phase, f"{value:.1f}", f"{value / total:.0%}")
        yield _block("Time of a worker by phase", grid)


def _evaluations(details: Details) -> Iterator[RenderableType]:
    rows = details["evaluations"]
    if not rows:
        return
    grid = _grid("frames", "mean", "std", "median", "episodes", "protocol", "kind", "")
    best = best_evaluation(rows)
    for row in rows:
        numbers = (score(row[name]) for name in ("mean", "std", "median"))
        mark = Text("best" if row is best else "", "green")
        names = (Text(row[name]) for name in ("protocol", "kind"))
        grid.add_row(count(row["frames"]), *numbers, str(row["episodes"]), *names, mark)
    yield _block("Evaluations", grid)


def _workers(details: Details) -> Iterator[RenderableType]:
    if not details["workers"]:
        return
    grid = _grid("worker", "episodes", "last", "recent mean", "best", "ε")
    for row in details["workers"]:
        scores = (score(row[name]) for name in ("last", "mean", "best"))
        grid.add_row(str(row["worker"]), count(row["games"]), *scores, number(row["epsilon"]))
    yield _block("Training episodes by worker", grid)


def _block(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, "bold"), Text(body) if isinstance(body, str) else body)


def _grid(*header: str) -> Table:
    """Return an indented table without lines; under a header, all columns except texts are aligned to the right."""
    grid = Table(box=None, padding=(0, 0, 0, 2), header_style="dim", show_header=bool(header))
    for name in header:
        grid.add_column(name, justify="left" if name in ("protocol", "kind", "") else "right", no_wrap=True)
    return grid
