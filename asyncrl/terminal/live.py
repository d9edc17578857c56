"""The progress of a run: a live view on a terminal; plain lines in a log."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncrl.config import RunConfig
from asyncrl.events import RECENT_EPISODES
from asyncrl.system.output import is_ready
from asyncrl.terminal.log_lines import LogLines, done, health, left, rate, statistics
from asyncrl.terminal.nodes import node_rates
from asyncrl.text import NOTHING, bars, clock, count, escape, score, sparkline
from asyncrl.training.progress import Progress, ShowProgress, WorkerView

WIDTH = 78  # columns of the view, also on wider terminals
COLUMN = 8  # workers in one column
SHOWN = 2 * COLUMN  # workers; the last row is a total of all others
ROWS = 22  # of text; with its margin the view fits into 24 rows
CURVE_ROWS = 6  # at most, of the curve of scores
AXIS = 9  # columns of the scale beside the curve
PHASES = {"training": "green", "evaluating": "cyan", "saving": "yellow", "done": "bold green"}
BLANK = Text("")
WORKER_COLUMNS = (("worker", 6), ("steps/s", 8), ("ep.", 6), ("last", 6), ("mean", 6), ("ε", 5))  # and their widths


@contextmanager
def live_view(config: RunConfig, console: Console) -> Iterator[ShowProgress]:
    """Yield a function that shows the progress of one run, and restore the terminal afterwards.

    A view is left out where it would block: the reader of a pipe may be slow, or Ctrl-S may have stopped the terminal.
    """
    if not (console.is_interactive and console.file.isatty()):

        def write(text: str) -> None:
            if is_ready(console.file):
                console.print(text, highlight=False, soft_wrap=True)

        yield LogLines(config.log_seconds, write)
        return
    with screen(console) as draw:
        yield lambda progress: draw(lambda: view(config, progress))


@contextmanager
def screen(console: Console) -> Iterator[Callable[[Callable[[], RenderableType]], None]]:
    """Yield a function that draws a view over the last one, and restore the terminal afterwards.

    The view is made only where it can be drawn at once.
    """
    live = Live(console=console, auto_refresh=False)

    def draw(make: Callable[[], RenderableType]) -> None:
        if is_ready(console.file):
            # The screen starts with the first view: by then signals are handled, so that the cursor is restored.
            live.start()
            live.update(make(), refresh=True)

    try:
        yield draw
    finally:
        live.stop()


def view(config: RunConfig, progress: Progress) -> RenderableType:
    """Return the whole live view, within 80 columns and 24 rows."""
    scores, shown = list(_scores(config, progress)), min(len(progress.workers), COLUMN)
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
    title = Text.assemble((config.algo, "bold"), " on ", (escape(config.env), "bold"))
    threads = f"{config.threads}{' simulated' * config.is_simulated} thread{'s' * (config.threads != 1)}"
    nodes = f"{config.cluster.nodes} nodes × " * (config.cluster.nodes > 1)
    batch = f" × {config.envs_per_thread} envs" if config.envs_per_thread > 1 else ""
    title.append(f"   {nodes}{threads}{batch} · {config.network} · seed {config.seed}", "dim")
    return _edges(title, Text(progress.phase, PHASES.get(progress.phase, "dim")))


def _rates(progress: Progress) -> RenderableType:
    p = progress
    frames = Text.assemble((f"{done(p):.1%}", "bold"), f"   {count(p.frames)} of {count(p.budget)} frames")
    times = f"{rate(p)} frames/s   {clock(p.seconds)} so far   {left(p)} left"
    return _edges(frames, Text(times if left(p) else "no rate yet"))


def _scores(config: RunConfig, progress: Progress) -> Iterator[RenderableType]:
    p = progress
    episodes = _labelled("episodes", score(p.mean_score) if p.episodes else "")
    episodes.append(f" mean of the last {min(p.episodes, RECENT_EPISODES)}" if p.episodes else "none finished yet")
    episodes.append(f"   {score(p.last_score)} last   {count(p.episodes)} in total" if p.episodes else "")
    yield episodes
    means = [mean for _, mean, _ in p.evaluations]
    none = "none made yet" if config.evaluation.episodes else "switched off: evaluation.episodes is 0"
    evaluations = _labelled("eval", score(means[-1]) if means else "")
    evaluations.append("" if means else none)
    if means:
        evaluations.append(f" ± {score(p.evaluations[-1][2])} at {count(p.evaluations[-1][0])}   ")
        best = max((mean for mean in means if math.isfinite(mean)), default=math.nan)
        evaluations.append(f"{score(best)} best   ").append(sparkline(means, 24), "cyan")
    yield evaluations
    values = (Text.assemble((f"{name} ", "dim"), value) for name, value in statistics(p))
    yield _cut(Text.assemble(("update   ", "dim"), Text("  ").join(values)))
    if of_nodes := node_rates(config, p):
        yield _cut(Text.assemble(("nodes    ", "dim"), of_nodes))
    if problems := health(p):
        yield _cut(Text.assemble(("health   ", "dim"), (", ".join(problems), "yellow")))


def _cut(line: Text) -> Text:
    line.truncate(WIDTH, overflow="ellipsis")
    return line


def _curve(scores: Sequence[float], height: int) -> Iterator[RenderableType]:
    """Draw the mean score of training episodes over the session, with a scale of its highest and lowest value."""
    if len(scores) < 2 or height < 2:
        return
    rows = bars(scores, WIDTH - AXIS, height)
    finite = [value for value in scores if math.isfinite(value)] or [math.nan]
    labels = [score(max(finite)), *[""] * (height - 2), score(min(finite))]
    for label, row in zip(labels, rows, strict=True):
        yield Text.assemble((f"{label:>{AXIS - 2}}  ", "dim"), (row, "green"))


def _labelled(label: str, value: str) -> Text:
    return Text.assemble((f"{label:9}", "dim"), (value, "bold"))


def _workers(workers: Sequence[WorkerView]) -> Iterator[RenderableType]:
    """Lay out workers in one or two columns; the last row is a total of those that do not fit."""
    rows = [_worker(worker) for worker in workers]
    if len(rows) > SHOWN:
        rows = [*rows[: SHOWN - 1], _rest(workers[SHOWN - 1 :])]
    has_epsilon = any(worker.epsilon is not None for worker in workers)  # policy methods have none
    columns = WORKER_COLUMNS if has_epsilon else WORKER_COLUMNS[:-1]
    halves = [half for half in (rows[:COLUMN], rows[COLUMN:]) if half]
    yield _row(*(_column(half, columns) for half in halves), gap=4)


def _column(rows: Sequence[Sequence[str]], columns: Sequence[tuple[str, int]]) -> Table:
    table = Table(box=None, padding=0, header_style="dim")
    for name, width in columns:
        table.add_column(name, justify="right", width=width, no_wrap=True)
    for row in rows:
        table.add_row(*row[: len(columns)])
    return table


def _worker(w: WorkerView) -> tuple[str, ...]:
    epsilon = NOTHING if w.epsilon is None else f"{w.epsilon:.2f}"
    scores = _short_score(w.last_score), _short_score(w.mean_score)
    return str(w.worker), count(w.steps_per_second), count(w.episodes), *scores, epsilon


def _short_score(value: float | None) -> str:
    """Return a score with fewer digits where it has more than five characters."""
    full = score(value)
    if value is None or len(full) <= 5 or not math.isfinite(value):
        return full
    for unit, name, digits in ((1e9, "G", 2), (1e6, "M", 2), (1e3, "k", 2), (1.0, "", 3)):
        if 0.995 * unit <= abs(value) < 1e12:
            return f"{float(f'{value / unit:.{digits}g}'):g}{name}"
    return f"{value:.0e}".replace("e+", "e")


def _rest(workers: Sequence[WorkerView]) -> tuple[str, ...]:
    means = [w.mean_score for w in workers if w.mean_score is not None]
    rate = sum(w.steps_per_second for w in workers)
    mean = sum(means) / len(means) if means else None
    return f"+{len(workers)}", count(rate), count(sum(w.episodes for w in workers)), "", _short_score(mean), ""


def _edges(start: Text, end: Text) -> Table:
    start.truncate(WIDTH - end.cell_len - 2, overflow="ellipsis")
    return _row(start, Text(" " * (WIDTH - start.cell_len - end.cell_len)), end)


def _row(*cells: RenderableType, gap: int = 0) -> Table:
    row = Table.grid(padding=(0, gap, 0, 0))
    row.add_row(*cells)
    return row
