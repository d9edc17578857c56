"""How facts about runs read: tables and sentences, in 80 columns where that can be."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from asyncrl.text import NOTHING, clock, count, number, score, sparkline

STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow"}
STYLES |= dict.fromkeys(("failed", "crashed", "damaged"), "red")
IN_TITLE = ("algo", "env", "threads", "network", "seed", "frames")  # said already, so not among the differences
STAMPS = ("frames", "steps", "updates", "seconds")  # on every row
SHOWN_FAILURES = 5
SHOWN_RUNS = 40  # of a report
REPORTED = {"task": "game, protocol", "label": "method", "id": "run"}
WIDE = 112  # columns that the whole table of runs takes

Facts = Mapping[str, Any]


def runs_table(runs: Sequence[Facts], width: int) -> RenderableType:
    """Lay out summaries; in few columns a run's id stands for its settings."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("run", no_wrap=True)
    settings = ("env", "algo", "threads") if width >= WIDE else ()
    for name in (*settings, "frames", "eval"):
        table.add_column(name, justify="left" if name in ("env", "algo") else "right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    for run in runs:
        known = (str(run[name] or NOTHING) for name in settings)
        numbers = (count(run["frames"]), score(run["evaluation"]))
        table.add_row(run["id"], *known, *numbers, _status(run["status"]), _age(run["started"]))
    return table


def no_runs(root: Path, where: str | None) -> str:
    """Say that there is nothing to list."""
    return f"No run in {root} has {where}." if where else f"There are no runs in {root} yet. Start one: asyncrl run"


def page(facts: Facts) -> RenderableType:
    """Lay out all that is known of a run."""
    blocks = [_title(facts), *_failure(facts), *_mended(facts), *_changes(facts), _made_with(facts)]
    blocks += [*_metrics(facts), *_profile(facts), *_evaluations(facts), *_workers(facts)]
    return Group(*(Padding(block, (0, 0, 1, 0)) for block in blocks))


def _title(facts: Facts) -> RenderableType:
    config = facts.get("config", {})
    title = Text.assemble((facts.get("id", NOTHING), "bold"), "   ", _status(facts.get("status")))
    method = f"{config.get('algo')} on {config.get('env')}, {config.get('threads')} threads"
    parameters = f"{config.get('network')} with {count(facts.get('parameters', 0))} parameters"
    work = f"{count(facts['steps'])} steps, {count(facts['updates'])} updates"
    lines = [
        f"{method}, {parameters}, seed {config.get('seed')}",
        f"{_frames(facts)}, {work}, {clock(facts['seconds'])} of training",
        f"started {_moment(facts['started'])}",
        facts["path"],
    ]
    return Group(title, *(Text(f"  {line}") for line in lines))


def _frames(facts: Facts) -> str:
    return f"{count(facts['frames'])} of {count(facts.get('config', {}).get('frames', 0))} frames"


def _failure(facts: Facts) -> Iterator[RenderableType]:
    """Give the reason, and of a traceback the last place; all of it is in run.json."""
    if facts.get("reason"):
        traceback = (facts.get("failure") or {}).get("traceback") or ""
        places = [line for line in traceback.splitlines() if line.lstrip().startswith("File ")]
        yield _block("Why it ended", "\n".join(f"  {line.strip()}" for line in (facts["reason"], *places[-1:])))


def _mended(facts: Facts) -> Iterator[RenderableType]:
    """Say what failed and was mended; the tracebacks are in failures.jsonl."""
    rows = [row for row in facts["failures"] if not row["is_final"]]
    if rows:
        grid = _grid("frames", "worker", "")
        for row in rows[-SHOWN_FAILURES:]:
            grid.add_row(
                count(row["frames"]), str(row["worker"]) if row["worker"] >= 0 else NOTHING, Text(row["reason"])
            )
        yield _block(f"What failed and was mended: {len(rows)}", grid)


def _changes(facts: Facts) -> Iterator[RenderableType]:
    names = [name for name in facts["changed"] if name not in IN_TITLE]
    if not names:
        return
    grid = _grid()
    for name in names:
        value, usual = (json.dumps(facts["changed"][name][which]) for which in ("value", "default"))
        grid.add_row(name, value, Text(f"instead of {usual}", "dim"))
    yield _block("Settings that are not the defaults", grid)


def _made_with(facts: Facts) -> RenderableType:
    made = facts.get("provenance") or {}
    versions = ", ".join(f"{name} {version}" for name, version in (made.get("versions") or {}).items() if version)
    commit = f"commit {made['commit'][:12]}{' with changes' if made.get('dirty') else ''}" if made.get("commit") else ""
    cores = f"{made.get('cpu')}, {made.get('usable_cores')} of {made.get('cores')} cores"
    compiled = "without the compiled part" if made.get("compiled") is False else ""
    return _block("Made with", "\n".join(f"  {line}" for line in (versions, commit, cores, compiled) if line))


def _metrics(facts: Facts) -> Iterator[RenderableType]:
    if facts["metrics"]:
        shown = {
            name: value for name, value in facts["metrics"].items() if name not in STAMPS and not name.endswith("_us")
        }
        text = "   ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in shown.items())
        yield _block(f"Metrics at {count(facts['metrics']['frames'])} frames", f"  {text}")


def _profile(facts: Facts) -> Iterator[RenderableType]:
    if facts["profile"]:
        whole = sum(facts["profile"].values())
        grid = _grid("phase", "µs a step", "share")
        for phase, value in sorted(facts["profile"].items(), key=lambda pair: -pair[1]):
            grid.add_row(phase, f"{value:.1f}", f"{value / whole:.0%}")
        yield _block("Where a worker's time goes", grid)


def _evaluations(facts: Facts) -> Iterator[RenderableType]:
    rows = facts["evaluations"]
    if not rows:
        return
    grid = _grid("frames", "mean", "std", "median", "games", "protocol", "made by", "")
    best = _best(rows)
    for row in rows:
        numbers = (score(row[name]) for name in ("mean", "std", "median"))
        mark = Text("best" if row is best else "", "green")
        grid.add_row(count(row["frames"]), *numbers, str(row["episodes"]), row["protocol"], row["kind"], mark)
    yield _block("Evaluations", grid)


def _best(rows: Sequence[Facts]) -> Facts:
    return max(rows, key=lambda row: float(row["mean"]))


def _workers(facts: Facts) -> Iterator[RenderableType]:
    if not facts["workers"]:
        return
    grid = _grid("worker", "games", "last", "recent mean", "best", "ε")
    for row in facts["workers"]:
        scores = (score(row[name]) for name in ("last", "mean", "best"))
        grid.add_row(str(row["worker"]), count(row["games"]), *scores, number(row["epsilon"]))
    yield _block("Training games by worker", grid)


def outcome(facts: Facts) -> RenderableType:
    """Say how a run ended, where it is, and what can be done with it."""
    path, rows = facts["path"], facts["evaluations"]
    lines = [f"{_frames(facts)} in {clock(facts['seconds'])}. The run is in {path}"]
    if rows:
        lines.insert(0, f"Last evaluation {_evaluation(rows[-1])}; best {_evaluation(_best(rows))}.")
    more = f"--frames {count(2 * facts['config']['frames']).replace(',', '')}"
    commands = {
        f"asyncrl show {path}": "what happened",
        f"asyncrl record {path}": "watch it play",
        f"asyncrl resume {path} {more}": "train on",
    }
    width = max(map(len, commands))
    steps = (Text.assemble(f"  {command:{width}}  ", (what, "dim")) for command, what in commands.items())
    learned = [Text(_learned(facts["learning"]))] if facts["learning"] else []
    return Group(*map(Text, lines), Text("Next:"), *steps, *learned)


def _learned(learning: Facts) -> str:
    """Say what training games show was learned, and what more frames would bring."""
    if not learning["has_improved"]:
        trend = "no better than at first: it needs more frames, or other settings"
    elif learning["is_rising"]:
        trend = "still rising: more frames should raise it further"
    else:
        trend = "level at the end: more frames may bring little"
    means = f"{score(learning['first'])} in the first 100, {score(learning['last'])} in the last 100"
    return f"Mean score of training games: {means}; {trend}."


def _evaluation(row: Facts) -> str:
    return f"{score(row['mean'])} ± {score(row['std'])} at {count(row['frames'])}"


def report(runs: Sequence[Facts], notes: Sequence[str], page: Path, width: int) -> RenderableType:
    """Lay out the runs of a report, a line each with its evaluations from the first to the last, and where it is."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    names = ("task", "label", "id") if width >= WIDE else ("task", "label")
    for name in names:
        table.add_column(REPORTED[name], no_wrap=True, overflow="ellipsis", max_width=None if width >= WIDE else 22)
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


def evaluated(row: Facts) -> str:
    """Say what one evaluation found."""
    found = f"{score(row['mean'])} is the mean of {row['episodes']} games"
    spread = f"median {score(row['median'])}, std {score(row['std'])}"
    return f"{found} ({spread}) after {count(row['frames'])} frames, {row['protocol']}"


def filmed(file: Path, scores: Sequence[float]) -> str:
    """Say what a video shows."""
    return f"{file} shows {', '.join(map(score, scores))} points"


def _block(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, "bold"), Text(body) if isinstance(body, str) else body)


def _grid(*header: str) -> Table:
    """Return an indented table without lines; without a header its columns are words, with one they are numbers."""
    grid = Table(box=None, padding=(0, 0, 0, 2), header_style="dim", show_header=bool(header))
    for name in header:
        grid.add_column(name, justify="left" if name in ("protocol", "made by", "") else "right", no_wrap=True)
    return grid


def _status(status: str | None) -> Text:
    return Text(status or NOTHING, STYLES.get(status or "", "dim"))


def _time(started: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(started or "").astimezone(UTC)
    except ValueError:
        return None


def _moment(started: str | None) -> str:
    time = _time(started)
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else NOTHING


def _age(started: str | None) -> str:
    time = _time(started)
    if time is None:
        return NOTHING
    minutes = int((datetime.now(UTC) - time).total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
