"""Tables and sentences about runs, in 80 columns where possible."""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from asyncrl.events import RECENT_EPISODES
from asyncrl.floats import is_finite
from asyncrl.store.document import SIMULATED, RunDocument, Status
from asyncrl.store.summary import Details, Summary
from asyncrl.terminal.console import ENDLESS, escaped
from asyncrl.terminal.table import Column, lay_out
from asyncrl.text import NOTHING, clock, count, counted, duration, escape, one_line, score, sparkline

STYLES: dict[str, str] = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.INTERRUPTED: "yellow",
    **dict.fromkeys((Status.FAILED, Status.CRASHED, Status.DAMAGED), "red"),
}
SHOWN_RUNS = 40  # of a report
ESSENTIAL = 4  # columns of a table that it has at any width: those of the lowest ranks

Row = Mapping[str, Any]


def runs_table(summaries: Sequence[Summary], width: int) -> list[Text]:
    """Lay out summaries of runs; a narrow table leaves settings out, since most ids contain them."""
    runs = [escaped(run) for run in summaries]

    def column(name: str, cell: Callable[[Row], object], rank: int, *, right: bool = False) -> Column:
        cells = [value if isinstance(value := cell(run), Text) else Text(str(value)) for run in runs]
        return Column(name, cells, rank, is_essential=rank < ESSENTIAL, is_right=right)

    def setting(name: str) -> Callable[[Row], object]:
        return lambda run: NOTHING if run[name] is None else run[name]

    columns = [
        column("run", lambda run: run["id"], 0),
        column("env", setting("env"), 6),
        column("algo", setting("algo"), 7),
        column("threads", setting("threads"), 8, right=True),
        column("seed", setting("seed"), 10, right=True),
        column("frames", _frames, 3, right=True),
        column("done", _done, 5, right=True),
        column("eval", lambda run: score(run["evaluation"]), 2, right=True),
        column("best", lambda run: score(run["best"]), 9, right=True),
        column("status", lambda run: status_text(run["status"]), 1),
        column("age", lambda run: _age(run["started"]), 4, right=True),
    ]
    lines = lay_out(columns, width)
    return lines if width >= ENDLESS else [*lines, *_explanations(runs)]


def sweeps_table(summaries: Sequence[Row], width: int) -> list[Text]:
    """Lay out summaries of sweeps: for each the number of its cells by status."""
    sweeps = [escaped(sweep) for sweep in summaries]

    def column(name: str, cell: Callable[[Row], object], rank: int, *, right: bool = True) -> Column:
        cells = [value if isinstance(value := cell(sweep), Text) else Text(str(value)) for sweep in sweeps]
        return Column(name, cells, rank, is_essential=rank < ESSENTIAL, is_right=right)

    columns = [
        column("sweep", lambda sweep: sweep["id"], 0, right=False),
        column("kind", lambda sweep: sweep["kind"] or NOTHING, 6, right=False),
        column("cells", lambda sweep: count(sweep["total"]), 2),
        column("finished", lambda sweep: count(sweep["finished"]), 3),
        column("running", lambda sweep: count(sweep["running"]), 4),
        column("failed", lambda sweep: Text(count(sweep["failed"]), "red" if sweep["failed"] else ""), 5),
        column("status", lambda sweep: status_text(sweep["status"]), 1, right=False),
        column("changed", lambda sweep: _age(sweep["changed"]), 7),
    ]
    lines = lay_out(columns, width)
    if width < ENDLESS:
        lines.append(Text("asyncrl ls SWEEP lists the runs of a sweep", "dim"))
    return lines


def damage_lines(summaries: Sequence[Summary]) -> list[Text]:
    """Return a line for each damaged run, with the reason."""
    damaged = [run for run in summaries if run["status"] == Status.DAMAGED]
    return [Text(f"{run['id']}: {one_line(str(run['reason']))}", "red", no_wrap=True) for run in damaged]


def _frames(run: Row) -> str:
    return NOTHING if run["status"] == Status.DAMAGED else count(run["frames"] or 0)


def _done(run: Row) -> str:
    frames, budget = run["frames"] or 0, run["budget"] or 0
    return f"{int(100 * min(frames / budget, 1.0))}%" if budget > 0 else NOTHING


def _explanations(runs: Sequence[Row]) -> Iterator[Text]:
    """Say what a dash means, and how to go on; scripts that read the table from a pipe get none of this."""
    statuses = {run["status"] for run in runs}
    if any(run["evaluation"] is None and run["status"] != Status.DAMAGED for run in runs):
        yield Text(f"{NOTHING} under eval: no evaluation has ended", "dim")
    if Status.CRASHED in statuses:
        yield Text("crashed: its process is gone; asyncrl resume RUN continues it", "dim")
    if Status.DAMAGED in statuses:
        yield Text("damaged: its files cannot be read:", "dim")


def time_text(document: RunDocument) -> str:
    """Return the seconds of a run's training clock, and say where they are virtual."""
    if document.clock == SIMULATED:
        return f"{duration(document.seconds)} of simulated time"
    return clock(document.seconds)


def outcome(details: Details) -> list[RenderableType]:
    """Return the end of ``asyncrl run``: the scores, the run's directory, and the next commands."""
    path, rows, learning = shlex.quote(details["path"]), details["evaluations"], details["learning"]
    document = RunDocument.model_validate(details)
    lines = [f"{progress_text(document)} in {time_text(document)}. The run is in {path}"]
    if rows:
        best = best_evaluation(rows)
        text = f"best {_evaluation(best)}" if best else "none has a finite mean, so none is the best"
        lines.insert(0, f"Last evaluation {_evaluation(rows[-1])}; {text}.")
    if document.skipped:
        lines.append(
            f"{document.skipped:,} of {counted(document.updates + document.skipped, 'update')} not applied: "
            "the gradient was not finite, as where a reward is NaN or infinite."
        )
    budget = document.config.get("frames") or document.frames
    more = f"--frames {count(2 * budget).replace(',', '')}"
    commands = {
        f"asyncrl show {path}": "show its details",
        f"asyncrl record {path}": "make a video of it",
        f"asyncrl resume {path} {more}": "continue training",
    }
    width = max(map(len, commands))
    steps = (Text.assemble(f"  {escape(command):{width}}  ", (what, "dim")) for command, what in commands.items())
    trend = [_learning(learning)] if learning else []
    return [*lines, "Next:", *steps, *trend]


def _learning(learning: Row) -> str:
    """Return a sentence on the trend of the training scores, and what more frames would change."""
    if not learning["has_improved"]:
        trend = "no better than at first: it needs more frames, or other settings"
    elif learning["is_rising"]:
        trend = "still rising: more frames should raise it further"
    else:
        trend = "level at the end: more frames may change little"
    n = RECENT_EPISODES
    means = f"{score(learning['first'])} in the first {n}, {score(learning['last'])} in the last {n}"
    return f"Mean score of training episodes: {means}; {trend}."


def _evaluation(row: Row) -> str:
    return f"{score(row['mean'])} ± {score(row['std'])} at {count(row['frames'])}"


def best_evaluation(rows: Sequence[Row]) -> Row | None:
    """Return the first of the rows with the highest finite mean score, or None if none is finite."""
    finite = [row for row in rows if is_finite(row["mean"])]
    return max(finite, key=lambda row: float(row["mean"]), default=None)


def report(runs: Sequence[Row], notes: Sequence[str], page: Path, width: int) -> list[RenderableType]:
    """Lay out the runs of a report, one a row with the curve of its evaluations, its notes, and the page's path."""
    shown = [escaped(run) for run in runs[:SHOWN_RUNS]]

    def column(name: str, cells: Iterable[Text | str], rank: int, *, right: bool = False) -> Column:
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        return Column(name, texts, rank, is_essential=rank < ESSENTIAL, is_right=right)

    columns = [
        column("game, protocol", (run["task"] for run in shown), 0),
        column("method", (run["label"] for run in shown), 1),
        column("run", (run["id"] for run in shown), 5),
        column("final", (score(run["final"]) for run in shown), 2, right=True),
        column("best", (score(run["best"]) for run in shown), 3, right=True),
        column("evaluations", (Text(sparkline(run["curve"], 12), "cyan") for run in shown), 4),
    ]
    table = lay_out(columns, width) if runs else ["No run has a score: none was evaluated, or none can be used."]
    more = [Text(f"… and {len(runs) - SHOWN_RUNS} more runs", "dim")] if len(runs) > SHOWN_RUNS else []
    lines = [Text(escape(note), "yellow") for note in notes]
    return [*table, *more, *lines, f"The report is in {page}"]


def evaluation_text(row: Row) -> str:
    """Return one evaluation as a sentence."""
    mean = f"{score(row['mean'])} is the mean of {row['episodes']} episodes"
    spread = f"median {score(row['median'])}, std {score(row['std'])}"
    return f"{mean} ({spread}) after {count(row['frames'])} frames, {row['protocol']}"


def video_text(file: Path, scores: Sequence[float]) -> str:
    """Return a video's path and the scores of its episodes as a sentence."""
    return f"{file} shows {', '.join(map(score, scores))} points"


def progress_text(document: RunDocument) -> str:
    """Return the frames of a run, done and in all."""
    return f"{count(document.frames)} of {count(document.config.get('frames', 0))} frames"


def status_text(status: str | None) -> Text:
    """Return a status in its colour."""
    return Text(status or NOTHING, STYLES.get(status or "", "dim"))


def date_text(started: str | None) -> str:
    """Return a time in ISO format as ``2026-11-01 10:00 UTC``."""
    time = _parse_time(started)
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else NOTHING


def _parse_time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _age(started: str | None) -> str:
    time = _parse_time(started)
    if time is None:
        return NOTHING
    minutes = max(0, int((datetime.now(UTC) - time).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes}min"
    return f"{minutes // 60}h" if minutes < 48 * 60 else f"{minutes // 1440}d"
