"""The progress of a run: a live view on a terminal; plain lines in a log."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncrl.config import RunConfig
from asyncrl.events import RECENT_EPISODES
from asyncrl.text import NOTHING, bars, clock, count, number, score, sparkline
from asyncrl.training.progress import Progress, ShowProgress, WorkerView

WIDTH = 78  # columns of the view, also on wider terminals
COLUMN = 8  # workers in one column
SHOWN = 2 * COLUMN  # workers; the last row is a total of all others
ROWS = 22  # of text; with its margin the view fits into 24 rows
CURVE_ROWS = 6  # at most, of the curve of scores
AXIS = 9  # columns of the scale beside the curve
STATISTICS = ("loss", "entropy", "q", "value", "grad_norm", "policy_lag")  # shown first, in this order
SHORT = {"grad_norm": "grad", "policy_lag": "lag"}
LONGEST = 60.0  # seconds between plain lines, at most
PHASES = {"training": "green", "evaluating": "cyan", "saving": "yellow", "done": "bold green"}
BLANK = Text("")


@contextmanager
def live_view(config: RunConfig, console: Console) -> Iterator[ShowProgress]:
    """Yield a function that shows the progress of one run, and restore the terminal afterwards."""
    if not (console.is_interactive and console.file.isatty()):

        def write(text: str) -> None:
            # Training continues where the log is on a full disk.
            with suppress(OSError):
                console.print(text, highlight=False, soft_wrap=True)

        yield LogLines(config.log_seconds, write)
        return
    screen = Live(console=console, auto_refresh=False)

    def show(progress: Progress) -> None:
        # The screen starts with the first progress: by then signals are handled, so that the cursor is restored.
        screen.start()
        screen.update(view(config, progress), refresh=True)

    try:
        yield show
    finally:
        screen.stop()


class LogLines:
    """One line per interval, which grows with the run up to a minute; evaluations and the end are written at once."""

    def __init__(self, seconds: float, write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        """Write lines of text at least ``seconds`` apart, by the clock ``now``."""
        self._seconds, self._write, self._now = seconds, write, now
        self._start = self._due = now()
        self._written: tuple[int, bool] | None = None

    def __call__(self, progress: Progress) -> None:
        """Write a line if one is due."""
        now, state = self._now(), (len(progress.evaluations), progress.phase == "done")
        if state == self._written and (now < self._due or progress.phase == "starting"):
            return
        self._written = state
        self._due = now + max(self._seconds, min((now - self._start) / 20, LONGEST))
        self._write(line(progress))


def line(progress: Progress) -> str:
    """Return the progress as one line, for logs."""
    p = progress
    parts = [f"{_done(p):5.1%}", f"{count(p.frames)}/{count(p.budget)} frames"]
    if p.phase != "training":
        parts.append(p.phase)
    if p.frames_per_second:
        parts.append(f"{p.frames_per_second:,.0f} f/s")
        parts += [f"{_left(p)} left"] if p.phase != "done" else []
    if p.last_score is not None:
        parts.append(f"score {score(p.mean_score)} (last {score(p.last_score)})")
    parts += [f"{name} {value}" for name, value in _statistics(p)]
    if p.evaluations:
        parts.append(f"eval {score(p.evaluations[-1][1])}")
    parts += _health(p)
    return "  ".join(parts)


def view(config: RunConfig, progress: Progress) -> RenderableType:
    """Return the whole live view, within 80 columns and 24 rows."""
    scores, shown = list(_scores(progress)), min(len(progress.workers), COLUMN)
    # Header, bar, rates, the header of the table, and three blank rows.
    taken = 7 + len(scores) + shown
    curve = list(_curve(progress.scores, min(CURVE_ROWS, ROWS - taken - 1)))
    parts = [
        _header(config, progress),
        BLANK,
        _row(ProgressBar(progress.budget, min(progress.frames, progress.budget), WIDTH, complete_style="cyan")),
        _rates(progress),
        BLANK,
        *scores,
        *([BLANK, *curve] if curve else []),
        BLANK,
        *_workers(progress.workers),
    ]
    return Padding(Group(*parts), (1, 1, 0, 1))


def _header(config: RunConfig, progress: Progress) -> RenderableType:
    title = Text.assemble((config.algo, "bold"), " on ", (config.env, "bold"))
    threads = "1 thread" if config.threads == 1 else f"{config.threads} threads"
    batch = f" × {config.envs_per_thread} envs" if config.envs_per_thread > 1 else ""
    title.append(f"   {threads}{batch} · {config.network} · seed {config.seed}", "dim")
    return _edges(title, Text(progress.phase, PHASES.get(progress.phase, "dim")))


def _rates(progress: Progress) -> RenderableType:
    p = progress
    frames = Text.assemble((f"{_done(p):.1%}", "bold"), f"   {count(p.frames)} of {count(p.budget)} frames")
    return _edges(frames, Text(f"{p.frames_per_second:,.0f} frames/s   {clock(p.seconds)} so far   {_left(p)} left"))


def _scores(progress: Progress) -> Iterator[RenderableType]:
    p = progress
    episodes = _labelled("episodes", score(p.mean_score))
    episodes.append(f" mean of the last {min(p.episodes, RECENT_EPISODES)}" if p.episodes else " none finished yet")
    episodes.append(f"   {score(p.last_score)} last   {count(p.episodes)} in total" if p.episodes else "")
    yield episodes
    means = [mean for _, mean, _ in p.evaluations]
    evaluations = _labelled("eval", score(means[-1] if means else None))
    if means:
        evaluations.append(f" ± {score(p.evaluations[-1][2])} at {count(p.evaluations[-1][0])}   ")
        evaluations.append(f"{score(max(means))} best   ").append(sparkline(means, 24), "cyan")
    yield evaluations
    statistics = (Text.assemble((f"{name} ", "dim"), value) for name, value in _statistics(p))
    update = Text.assemble(("update   ", "dim"), Text("  ").join(statistics))
    update.truncate(WIDTH, overflow="ellipsis")
    yield update
    if problems := _health(p):
        health = Text.assemble(("health   ", "dim"), (", ".join(problems), "yellow"))
        health.truncate(WIDTH, overflow="ellipsis")
        yield health


def _curve(scores: Sequence[float], height: int) -> Iterator[RenderableType]:
    """Draw the mean score of training episodes over the session, with a scale of its highest and lowest value."""
    if len(scores) < 2 or height < 2:
        return
    rows = bars(scores, WIDTH - AXIS, height)
    finite = [value for value in scores if math.isfinite(value)] or [math.nan]
    labels = [score(max(finite)), *[""] * (height - 2), score(min(finite))]
    for label, row in zip(labels, rows, strict=True):
        yield Text.assemble((f"{label:>{AXIS - 2}}  ", "dim"), (row, "green"))


def _health(progress: Progress) -> list[str]:
    """Return counts of recovered problems, and the reason why the run cannot be saved at present."""
    p = progress
    problems = [f"{count(p.restarts)} worker{'s' * (p.restarts > 1)} replaced"] if p.restarts else []
    problems += [f"{count(p.skipped)} update{'s' * (p.skipped > 1)} skipped"] if p.skipped else []
    problems += [f"{count(p.lost)} row{'s' * (p.lost > 1)} lost"] if p.lost else []
    return problems + ([f"cannot save: {p.store_problem}"] if p.store_problem else [])


def _labelled(label: str, value: str) -> Text:
    return Text.assemble((f"{label:9}", "dim"), (value, "bold"))


def _workers(workers: Sequence[WorkerView]) -> Iterator[RenderableType]:
    """Lay out workers in one or two columns; the last row is a total of those that do not fit."""
    rows = [_worker(worker) for worker in workers]
    if len(rows) > SHOWN:
        rows = [*rows[: SHOWN - 1], _rest(workers[SHOWN - 1 :])]
    halves = [half for half in (rows[:COLUMN], rows[COLUMN:]) if half]
    yield _row(*map(_column, halves), gap=4)


def _column(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=0, header_style="dim")
    for name, width in (("worker", 6), ("steps/s", 8), ("ep.", 6), ("last", 6), ("mean", 6), ("ε", 5)):
        table.add_column(name, justify="right", width=width, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _worker(w: WorkerView) -> tuple[str, ...]:
    epsilon = NOTHING if w.epsilon is None else f"{w.epsilon:.2f}"
    rate = f"{w.steps_per_second:,.0f}"
    return str(w.worker), rate, count(w.episodes), score(w.last_score), score(w.mean_score), epsilon


def _rest(workers: Sequence[WorkerView]) -> tuple[str, ...]:
    means = [w.mean_score for w in workers if w.mean_score is not None]
    rate = sum(w.steps_per_second for w in workers)
    mean = sum(means) / len(means) if means else None
    return f"+{len(workers)}", f"{rate:,.0f}", count(sum(w.episodes for w in workers)), "", score(mean), ""


def _statistics(progress: Progress) -> list[tuple[str, str]]:
    """Return the learning rate and the statistics of the last interval, the most important first."""
    known = [name for name in STATISTICS if name in progress.statistics]
    names = known + [name for name in progress.statistics if name not in STATISTICS]
    shown = [(SHORT.get(name, name).replace("_", " "), number(progress.statistics[name])) for name in names]
    return [("lr", number(progress.learning_rate)), *shown]


def _done(progress: Progress) -> float:
    return min(progress.frames / progress.budget, 1.0)


def _left(progress: Progress) -> str:
    if not progress.frames_per_second:
        return NOTHING
    return clock(max(progress.budget - progress.frames, 0) / progress.frames_per_second)


def _edges(left: Text, right: Text) -> Table:
    left.truncate(WIDTH - len(right) - 2, overflow="ellipsis")
    return _row(left, Text(" " * (WIDTH - len(left) - len(right))), right)


def _row(*cells: RenderableType, gap: int = 0) -> Table:
    row = Table.grid(padding=(0, gap, 0, 0))
    row.add_row(*cells)
    return row
