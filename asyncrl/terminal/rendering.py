"""Tables and sentences about runs, in 80 columns where possible."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asyncrl.events import RECENT_EPISODES
from asyncrl.floats import is_finite
from asyncrl.store.document import RunDocument, Status
from asyncrl.store.summary import Details, Summary
from asyncrl.text import NOTHING, clock, count, score, sparkline

STYLES: dict[str, str] = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.INTERRUPTED: "yellow",
    **dict.fromkeys((Status.FAILED, Status.CRASHED, Status.DAMAGED), "red"),
}
SHOWN_RUNS = 40  # of a report
REPORT_HEADERS = {"task": "game, protocol", "label": "method", "id": "run"}
WIDE = 112  # columns, from which a table shows the settings, too

Row = Mapping[str, Any]


def runs_table(summaries: Sequence[Summary], width: int) -> RenderableType:
    """Lay out summaries of runs; a narrow table leaves the settings out, since most ids contain them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("run", no_wrap=True)
    settings = ("env", "algo", "threads") if width >= WIDE else ()
    for name in (*settings, "frames", "eval"):
        table.add_column(name, justify="left" if name in ("env", "algo") else "right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    for run in summaries:
        values = (str(run[name] or NOTHING) for name in settings)
        numbers = (count(run["frames"]), score(run["evaluation"]))
        table.add_row(run["id"], *values, *numbers, status_text(run["status"]), _age(run["started"]))
    return table


def damage_text(summaries: Sequence[Summary]) -> Text:
    """Return a line for each damaged run, with the reason; an empty text if there is none."""
    damaged = [run for run in summaries if run["status"] == Status.DAMAGED]
    return Text("".join(f"{run['id']}: {' '.join(str(run['reason']).split())}\n" for run in damaged), "red")


def outcome(details: Details) -> RenderableType:
    """Return the end of ``asyncrl run``: the scores, the run's directory, and the next commands."""
    path, rows, learning = details["path"], details["evaluations"], details["learning"]
    document = RunDocument.model_validate(details)
    lines = [f"{progress_text(document)} in {clock(document.seconds)}. The run is in {path}"]
    if rows:
        best = best_evaluation(rows)
        text = f"best {_evaluation(best)}" if best else "none has a finite mean, so none is the best"
        lines.insert(0, f"Last evaluation {_evaluation(rows[-1])}; {text}.")
    more = f"--frames {count(2 * document.config['frames']).replace(',', '')}"
    commands = {
        f"asyncrl show {path}": "show its details",
        f"asyncrl record {path}": "make a video of it",
        f"asyncrl resume {path} {more}": "continue training",
    }
    width = max(map(len, commands))
    steps = (Text.assemble(f"  {command:{width}}  ", (what, "dim")) for command, what in commands.items())
    trend = [Text(_learning(learning))] if learning else []
    return Group(*map(Text, lines), Text("Next:"), *steps, *trend)


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


def report(runs: Sequence[Row], notes: Sequence[str], page: Path, width: int) -> RenderableType:
    """Lay out the runs of a report, one a row with the curve of its evaluations, its notes, and the page's path."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    names = ("task", "label", "id") if width >= WIDE else ("task", "label")
    max_width = None if width >= WIDE else 22
    for name in names:
        table.add_column(REPORT_HEADERS[name], no_wrap=True, overflow="ellipsis", max_width=max_width)
    for name in ("final", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("evaluations", no_wrap=True)
    for run in runs[:SHOWN_RUNS]:
        curve = Text(sparkline(run["curve"], 12), "cyan")
        table.add_row(*(Text(run[name]) for name in names), score(run["final"]), score(run["best"]), curve)
    more = [Text(f"… and {len(runs) - SHOWN_RUNS} more runs", "dim")] if len(runs) > SHOWN_RUNS else []
    lines = [Text(note, "yellow") for note in notes]
    shown = table if runs else Text("No run has a score: none was evaluated, or none can be used.")
    return Group(shown, *more, *lines, Text(f"The report is in {page}", no_wrap=True, overflow="ignore"))


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
    minutes = int((datetime.now(UTC) - time).total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
