"""Tables as people read them: which columns, in which words, with how many digits. Their CSV has every column."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from asyncrl.text import NOTHING, clock, count, counted, number, score

Format = Callable[[Any], str]


class Cell(NamedTuple):
    """One entry: its text, and what it is sorted by."""

    text: str
    key: float | str | None  # None: nothing, always last
    is_number: bool


class View(NamedTuple):
    """A table to be shown."""

    name: str  # of its file
    title: str
    text: str  # a plain paragraph
    data: pd.DataFrame  # all of it
    header: list[str]
    rows: list[list[Cell]]
    command: str = ""  # what would make its runs, where there are none


class Column(NamedTuple):
    """One column of a view."""

    name: str  # in the data
    title: str
    form: Format
    interval: str | None = None  # beginning of the columns that hold low and high
    games: str | None = None  # the column that says of how many games it is, shown where they are fewer than the row's


def percent(value: float) -> str:
    """Write a percentage with one decimal."""
    return f"{value:,.1f}"


def ratio(value: float) -> str:
    """Write a ratio or a probability with two decimals."""
    return f"{value:,.2f}"


def whole(value: float) -> str:
    """Write a whole number."""
    return f"{value:,.0f}"


def hours(value: float) -> str:
    """Write hours as hours, minutes and seconds."""
    return clock(3600 * value)


def words(value: object) -> str:
    """Write a name."""
    return str(value)


def yes(value: object) -> str:
    """Write a truth."""
    return "yes" if value else "no"


OVERVIEW = (
    Column("task", "game, protocol", words),
    Column("label", "method", words),
    Column("runs", "runs", whole),
    Column("final", "final score", score, ""),
    Column("best", "best score", score),
    Column("area", "mean over training", score),
    Column("frames", "frames", count),
    Column("hours", "time", hours),
    Column("frames_per_second", "frames/s", count),
    Column("machine", "machine", words),
)
PER_GAME = (
    Column("game", "game", words),
    Column("protocol", "protocol", words),
    Column("label", "method", words),
    Column("runs", "runs", whole),
    Column("final", "final score", score, ""),
    Column("best", "best score", score),
    Column("percent", "% of a human", percent),
    Column("reference", "by the references of", words),
)
SUMMARY = (
    Column("method", "method", words),
    Column("made", "made", words),
    Column("starts", "games start", words),
    Column("protocol", "protocol", words),
    Column("games", "games", whole),
    Column("runs", "runs", whole),
    Column("mean", "mean %", percent, "mean_"),
    Column("median", "median %", percent, "median_"),
    Column("IQM", "IQM %", percent, "IQM_"),
    Column("optimality gap", "optimality gap %", percent, "optimality gap_"),
)
IMPROVEMENTS = (
    Column("label", "method", words),
    Column("over", "over", words),
    Column("probability", "probability", ratio, ""),
    Column("tasks", "games", whole),
    Column("runs", "runs", whole),
)
SPEED = (
    Column("task", "game, protocol", words),
    Column("variant", "method", words),
    Column("threads", "threads", whole),
    Column("reference_score", "score to reach", score),
    Column("runs", "runs", whole),
    Column("reached", "reached it", whole),
    Column("at_once", "at once", whole),
    Column("hours", "median time", hours),
    Column("frames", "median frames", count),
    Column("speedup", "speed-up", ratio),
    Column("data_efficiency", "fewer frames", ratio),
    Column("machine", "machine", words),
)
BEST = (
    Column("task", "game, protocol", words),
    Column("label", "method", words),
    Column("statistic", "statistic", words),
    Column("final", "final score", score, ""),
    Column("rates", "learning rates", words),
)
INVENTORY = (
    Column("id", "run", words),
    Column("status", "status", words),
    Column("used", "used", words),
    Column("algo", "algorithm", words),
    Column("env", "environment", words),
    Column("protocol", "protocol", words),
    Column("network", "network", words),
    Column("threads", "threads", whole),
    Column("envs_per_thread", "envs each", whole),
    Column("seed", "seed", str),
    Column("lr", "learning rate", number),
    Column("frames", "frames", count),
    Column("hours", "time", hours),
    Column("frames_per_second", "frames/s", count),
    Column("usable_cores", "cores", whole),
    Column("cpu", "processor", words),
    Column("torch", "torch", words),
    Column("commit", "commit", lambda commit: str(commit)[:8]),
    Column("dirty", "changed since", yes),
    Column("started", "started", lambda time: str(time)[:16].replace("T", " ")),
)
PROBLEMS = (Column("run", "run", words), Column("kind", "kind", words), Column("text", "what", words))


def view(name: str, title: str, text: str, data: pd.DataFrame, columns: Sequence[Column], command: str = "") -> View:
    """Lay out a table; every column that is not missing throughout is shown."""
    columns = [column for column in columns if column.name in data and (data[column.name].notna().any() or data.empty)]
    rows = [[_cell(row, column) for column in columns] for _, row in data.iterrows()]
    return View(name, title, text, data, [column.title for column in columns], rows, command)


def _cell(row: pd.Series, column: Column) -> Cell:
    value = row[column.name]
    if pd.isna(value):
        return Cell(NOTHING, None, column.form is not words)
    is_number = not isinstance(value, str)
    text = column.form(value)
    if column.interval is not None and pd.notna(low := row[f"{column.interval}low"]):
        text += f" [{column.form(low)}, {column.form(row[f'{column.interval}high'])}]"
    if column.games is not None and row[column.games] < row["games"]:
        text += f" ({row[column.games]:g})"
    return Cell(text, float(value) if is_number else value, is_number)


def per_game_columns(data: pd.DataFrame) -> list[Column]:
    """Return the columns of the per-game table: ours, then each published one under its own name."""
    return [*PER_GAME, *(Column(name, name, score) for name in data.columns if " starts" in name)]


def wide_speedup(data: pd.DataFrame) -> tuple[pd.DataFrame, list[Column]]:
    """Return speed-ups in Table 2's form: a row a method, a column a number of threads."""
    data = data.assign(threads=data["threads"].astype(int))
    keys = ["variant", "machine"]
    shape, of = (
        data.pivot_table(index=keys, columns="threads", values=values, sort=False) for values in ("speedup", "games")
    )
    counts = sorted(shape.columns)
    table = shape.rename(columns=str).join(of.rename(columns="{} games".format)).assign(games=of.max(axis=1))
    threads = [Column(str(n), counted(n, "thread"), ratio, games=f"{n} games") for n in counts]
    return table.reset_index(), [Column("variant", "method", words), Column("games", "games", whole), *threads,
                   Column("machine", "machine or source", words)]  # fmt: skip
