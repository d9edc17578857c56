"""The overview of a sweep: live on a terminal; a line for each event in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncrl.errors import Exit
from asyncrl.sweeping.cell import describe
from asyncrl.sweeping.progress import Result, SweepProgress
from asyncrl.system.output import is_ready
from asyncrl.terminal.live import screen
from asyncrl.text import NOTHING, clock, count, counted, escape, score, sparkline

WIDTH = 78
SHOWN_FAILURES = 5
SHOWN_CELLS = 40  # of a preview
CURVE = 20  # columns of a sparkline
LOG_SECONDS = 60.0  # between lines of a log that report only numbers


@contextmanager
def overview(console: Console, name: str) -> Iterator[Callable[[SweepProgress], None]]:
    """Yield a function that shows the progress of a sweep."""
    if not (console.is_interactive and console.file.isatty()):
        yield _Log(console)
        return
    with screen(console) as draw:
        yield lambda progress: draw(lambda: view(name, progress))


class _Log:
    """A line for each event, and one a minute in between."""

    def __init__(self, console: Console) -> None:
        self._console, self._written = console, time.monotonic()

    def __call__(self, progress: SweepProgress) -> None:
        if not progress.message and time.monotonic() - self._written < LOG_SECONDS:
            return
        self._written = time.monotonic()
        if is_ready(self._console.file):
            self._console.print(escape(line(progress)), soft_wrap=True)


def line(progress: SweepProgress) -> str:
    """Return the progress as one line."""
    p = progress
    left = "" if p.left is None else f", {clock(p.left)} left"
    numbers = f"[{p.finished}/{p.total}] {len(p.running)} running, {len(p.failed)} failed{left}"
    return f"{numbers}  {p.message}".rstrip()


def view(name: str, progress: SweepProgress) -> RenderableType:
    """Return the whole overview."""
    p = progress
    left = clock(p.left)
    title = Text.assemble((name, "bold"), f"   {p.finished:,} of {counted(p.total, 'cell')}")
    title.append(f"   {len(p.failed)} failed", "red" if p.failed else "dim")
    title.append(f"   {clock(p.seconds)} so far   {left} left", "dim")
    cells = Table.grid(padding=(0, 2, 0, 0))
    for running in p.running:
        share = running.frames / running.cell.config.frames
        curve = Text(sparkline(running.scores, CURVE), "cyan")
        last = score(running.scores[-1]) if running.scores else NOTHING
        label = f"{describe(running.cell.varied)} seed {running.cell.seed}".strip()
        cells.add_row(Text(label, overflow="ellipsis", no_wrap=True), f"{share:4.0%}", last, curve)
    failures = [Text(f"failed: {cell.name}: {reason}", "red") for cell, reason in p.failed[-SHOWN_FAILURES:]]
    bar = ProgressBar(max(1, p.total), p.finished, WIDTH, complete_style="cyan")
    return Padding(Group(title, bar, Text(""), cells, *failures), (1, 1, 0, 1))


def outcome(result: Result, root: Path) -> list[Text]:
    """Return the end of ``asyncrl sweep``: what is finished, what failed, the best settings, and the next commands."""
    p = result.progress
    lines = [
        Text(f"{p.finished:,} of {counted(p.total, 'cell')} finished in {clock(p.seconds)}. The runs are in {root}")
    ]
    for cell, reason in p.failed[:SHOWN_FAILURES]:
        lines.append(Text(f"failed: {root / cell.name}: {reason}", "red"))
    if len(p.failed) > SHOWN_FAILURES:
        lines.append(Text(f"… and {len(p.failed) - SHOWN_FAILURES} more", "red"))
    for number, reason in result.left_out[:SHOWN_FAILURES]:
        lines.append(Text(f"left out: trial {number}: {escape(reason)}"))
    if len(result.left_out) > SHOWN_FAILURES:
        lines.append(Text(f"… and {counted(len(result.left_out) - SHOWN_FAILURES, 'trial')} more"))
    if result.best:
        settings = describe(result.best["settings"])
        lines.append(
            Text(f"Best of the search: {settings} (value {result.best['value']:.4g}, trial {result.best['trial']})")
        )
    for each in result.confirmed:
        told = describe(each.settings) or "the preset's settings"
        before = f"; {each.searched:.4g} in the search" if each.searched is not None else ""
        interval = f"{each.low:.4g} to {each.high:.4g}"
        lines.append(Text(f"On {each.seeds} fresh seeds: {each.mean:.4g} (95 % interval {interval}{before}): {told}"))
    lines.append(Text("Next:"))
    if result.code not in (Exit.OK, Exit.SWEEP_INCOMPLETE):
        lines.append(Text("  the same command continues the sweep"))
    if result.best:
        lines.append(Text(f"  asyncrl run --config {result.best['file']}"))
    lines.append(Text(f"  asyncrl report sweep:{root.name} --results {root.parent}"))
    return lines


def preview(plan: dict[str, Any]) -> RenderableType:
    """Return what ``--dry-run`` prints."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("cell", "frames", "state"):
        table.add_column(name, justify="right" if name == "frames" else "left", no_wrap=True)
    for cell in plan["cells"][:SHOWN_CELLS]:
        table.add_row(Text(cell["name"]), count(cell["frames"]), cell["state"])
    cells, rest = plan["cells"], len(plan["cells"]) - SHOWN_CELLS
    more = [Text(f"… and {rest} more")] if rest > 0 else []
    rates = "at the rate of its finished cells" if plan["is_measured"] else "at usual rates"
    hours = f"{plan['core_hours']:.2g} core hours {rates}; about {clock(3600 * plan['hours'])} on {plan['cores']} cores"
    shown = counted(len(cells), "cell")
    lines = []
    if plan["trials"]:
        proposed = plan["proposed"]
        # The cells of later trials depend on the results of earlier ones.
        lines = [Text(f"{counted(plan['trials'], 'trial')}, {proposed} proposed so far{':' if proposed else '.'}")]
        shown = f"{shown} of {counted(proposed, 'trial')}"
    total = f"{shown}, {plan['finished']:,} finished; {count(plan['frames_left'])} frames to go"
    return Group(*lines, *([table] if cells else []), *more, Text(f"{total}: {hours}."))
