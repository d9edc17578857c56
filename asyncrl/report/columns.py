"""Step "columns" of a report: the columns that its tables show, their titles and formats. The CSV files have all."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from asyncrl.text import NOTHING, count, counted, duration, number, score

Format = Callable[[Any], str]


class Cell(NamedTuple):
    """One entry of a table."""

    text: str
    key: float | str | None  # to sort by; None: missing, always last
    is_number: bool
    reason: str = ""  # why it is missing


class ReportTable(NamedTuple):
    """A table of a report."""

    name: str  # of its CSV file
    title: str
    text: str  # a plain paragraph
    data: pd.DataFrame  # with all columns
    header: list[str]
    rows: list[list[Cell]]
    command: str = ""  # makes runs for this table; shown if it is empty
    footnotes: tuple[str, ...] = ()  # what a dash means in each column that has one


class Column(NamedTuple):
    """One column of a report table."""

    name: str  # of the column of data
    title: str
    format_value: Format
    interval: str | None = None  # prefix of the columns "low" and "high"
    games: str | None = None  # column with the number of games of a value, shown if smaller than "games" of the row
    missing: str = "not recorded"  # what a dash means
    limit: str | None = None  # column with a number that a missing value is greater than


def percent(value: float) -> str:
    """Format a percentage with one decimal."""
    return f"{value:,.1f}"


def ratio(value: float) -> str:
    """Format a ratio or a probability with two decimals."""
    return f"{value:,.2f}"


def integer(value: float) -> str:
    """Format a whole number."""
    return f"{value:,.0f}"


def hours(value: float) -> str:
    """Format hours as hours, minutes and seconds."""
    return duration(3600 * value)


def as_text(value: object) -> str:
    """Format a name."""
    return str(value)


def yes_or_no(value: object) -> str:
    """Format a boolean."""
    return "yes" if value else "no"


NO_CLOCK = "no run has a valid clock (see the excluded rows), or its time is not recorded"
NO_REFERENCE = "no reference scores are known for this game and kind of episode start"
NOT_PUBLISHED = "not published"
NOT_REACHED = "half of the runs or more did not reach the score"
NO_SPEEDUP = (
    "half of the runs of one thread or of these threads did not reach the score, or had it at their first evaluation, "
    "or there is no run of one thread"
)

OVERVIEW = (
    Column("task", "game, protocol", as_text),
    Column("label", "method", as_text),
    Column("runs", "runs", integer),
    Column("final", "final score", score, ""),
    Column("best", "best score", score),
    Column("area", "mean over training", score),
    Column("frames", "frames", count),
    Column("hours", "time", hours, missing=NO_CLOCK),
    Column("frames_per_second", "frames/s", count, missing=NO_CLOCK),
    Column("machine", "machine", as_text),
)
PER_GAME = (
    Column("game", "game", as_text),
    Column("protocol", "protocol", as_text),
    Column("label", "method", as_text),
    Column("runs", "runs", integer),
    Column("final", "final score", score, ""),
    Column("best", "best score", score),
    Column("percent", "normalised score, %", percent, missing=NO_REFERENCE),
    Column("reference", "source of the scores of 0 and 100 %", as_text, missing=NO_REFERENCE),
)
SUMMARY = (
    Column("method", "method", as_text),
    Column("made", "source", as_text),
    Column("starts", "episode starts", as_text),
    Column("protocol", "protocol", as_text, missing=NOT_PUBLISHED),
    Column("games", "games", integer),
    Column("runs", "runs", integer, missing=NOT_PUBLISHED),
    Column("mean", "mean %", percent, "mean_"),
    Column("median", "median %", percent, "median_"),
    Column("IQM", "IQM %", percent, "IQM_", missing=NOT_PUBLISHED),
    Column("optimality gap", "optimality gap %", percent, "optimality gap_", missing=NOT_PUBLISHED),
)
IMPROVEMENTS = (
    Column("label", "method", as_text),
    Column("over", "compared with", as_text),
    Column("probability", "probability", ratio, ""),
    Column("tasks", "games", integer),
    Column("runs", "runs", integer),
)
SPEED = (
    Column("task", "game, protocol", as_text),
    Column("variant", "method", as_text),
    Column("threads", "threads", integer),
    Column("reference_score", "score to reach", score),
    Column("runs", "runs", integer),
    Column("reached", "runs that reached it", integer),
    Column("at_once", "runs that had it at the first evaluation", integer),
    Column("hours", "median time", hours, "hours_", missing=NOT_REACHED, limit="hours_limit"),
    Column("frames", "median frames", count, "frames_", missing=NOT_REACHED, limit="frames_limit"),
    Column("speedup", "speed-up", ratio, "speedup_", missing=NO_SPEEDUP),
    Column("data_efficiency", "data efficiency", ratio, "data_efficiency_", missing=NO_SPEEDUP),
    Column("machine", "machine", as_text),
)
BEST = (
    Column("task", "game, protocol", as_text),
    Column("label", "method", as_text),
    Column("statistic", "statistic", as_text),
    Column("final", "final score", score, ""),
    Column("rates", "learning rates", as_text, missing="these runs are selected by score, not by learning rate"),
)
INVENTORY = (
    Column("id", "run", as_text),
    Column("status", "status", as_text),
    Column("used", "used", as_text),
    Column("algo", "algorithm", as_text),
    Column("env", "environment", as_text),
    Column("protocol", "protocol", as_text),
    Column("network", "network", as_text),
    Column("threads", "threads", integer),
    Column("envs_per_thread", "envs per thread", integer),
    Column("seed", "seed", str),
    Column("lr", "learning rate", number),
    Column("frames", "frames", count),
    Column("hours", "time", hours, missing=NO_CLOCK),
    Column("frames_per_second", "frames/s", count, missing=NO_CLOCK),
    Column("clock", "clock", as_text),
    Column("usable_cores", "cores", integer),
    Column("turns", "took turns", yes_or_no),
    Column("cpu", "processor", as_text),
    Column("torch", "torch", as_text),
    Column("commit", "commit", lambda commit: str(commit)[:8]),
    Column("dirty", "uncommitted changes", yes_or_no),
    Column("started", "started", lambda time: str(time)[:16].replace("T", " ")),
)
PROBLEMS = (Column("run", "run", as_text), Column("kind", "kind", as_text), Column("text", "problem", as_text))


def build_table(
    name: str, title: str, text: str, data: pd.DataFrame, columns: Sequence[Column], command: str = ""
) -> ReportTable:
    """Build a table from data; columns without any value are omitted."""
    columns = [column for column in columns if column.name in data and (data[column.name].notna().any() or data.empty)]
    rows = [[_cell(row, column) for column in columns] for _, row in data.iterrows()]
    footnotes = tuple(f"{column.title}: {column.missing}" for column in columns if data[column.name].isna().any())
    return ReportTable(name, title, text, data, [column.title for column in columns], rows, command, footnotes)


def _cell(row: pd.Series, column: Column) -> Cell:
    value = row[column.name]
    if pd.isna(value) and column.limit is not None and pd.notna(row[column.limit]):
        return Cell(f"> {column.format_value(row[column.limit])}", None, True, column.missing)
    if pd.isna(value):
        return Cell(NOTHING, None, column.format_value is not as_text, column.missing)
    is_number = not isinstance(value, str)
    text = column.format_value(value)
    if column.interval is not None and pd.notna(low := row[f"{column.interval}low"]):
        text += f" [{_bound(low, row, column)}, {_bound(row[f'{column.interval}high'], row, column)}]"
    if column.games is not None and row[column.games] < row["games"]:
        text += f" ({row[column.games]:g})"
    return Cell(text, float(value) if is_number else value, is_number)


def _bound(value: float, row: pd.Series, column: Column) -> str:
    """Format an end of an interval, which may be infinite."""
    if not math.isinf(value):
        return column.format_value(value)
    return "∞" if column.limit is None else f"> {column.format_value(row[column.limit])}"


def per_game_columns(data: pd.DataFrame) -> list[Column]:
    """Return the columns of the per-game table: ours, then one per published method."""
    return [
        *PER_GAME,
        *(Column(name, name, score, missing=NOT_PUBLISHED) for name in data.columns if " starts" in name),
    ]


def speedup_by_threads(data: pd.DataFrame) -> tuple[pd.DataFrame, list[Column]]:
    """Return speed-ups in the form of Table 2, one row per method, one column per thread count; and its columns."""
    data = data.assign(threads=data["threads"].astype(int))
    keys = ["variant", "machine"]
    speedups, low, high, games = (
        data.pivot_table(index=keys, columns="threads", values=values, sort=False)
        for values in ("speedup", "speedup_low", "speedup_high", "games")
    )
    counts = sorted(speedups.columns)
    table = speedups.rename(columns=str).join(games.rename(columns="{} games".format)).assign(games=games.max(axis=1))
    for n in counts:
        for name, bound in (("low", low), ("high", high)):
            table[f"{n} {name}"] = bound.get(n, math.nan)
    threads = [
        Column(str(n), counted(n, "thread"), ratio, f"{n} ", games=f"{n} games", missing="no speed-up is known")
        for n in counts
    ]
    first = [Column("variant", "method", as_text), Column("games", "games", integer)]
    return table.reset_index(), [*first, *threads, Column("machine", "machine or source", as_text)]
