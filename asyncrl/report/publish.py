"""A report as files: one page that needs nothing else, the same as Markdown, and every figure and table by itself."""

import base64
import re
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from asyncrl.errors import InputError
from asyncrl.report import plot, plot_pool
from asyncrl.report.columns import View
from asyncrl.report.figures import Figure
from asyncrl.report.gather import Report
from asyncrl.store.document import DOCUMENT

PAGE, OURS = "report.html", b"<title>asyncrl: runs compared</title>"
FILES = ("figures/*.svg", "figures/*.png", "figures/*.csv", "tables/*.csv")  # beside a page
DIGITS = "%.9g"  # of numbers in CSV files
PANELS = 24  # drawn of one figure; its CSV has all
VIDEOS, VIDEO_BYTES = 3, 4_000_000  # shown in a page, each at most so large
KINDS = {".mp4": "video/mp4", ".gif": "image/gif"}


class Drawn(NamedTuple):
    """One panel of a figure."""

    title: str
    file: str  # without its ending
    inline: Markup


class Film(NamedTuple):
    """A recorded game of one run."""

    title: str
    kind: str
    data: str  # base64


def publish(report: Report, processes: int = 1) -> Path:
    """Write ``report.html``, ``report.md``, ``figures/`` and ``tables/``; return the page.

    Args:
        report: what to write.
        processes: how many may draw. With more than one, a script that calls this must have ``__main__`` guarded, as
            any that starts processes.

    Raises:
        InputError: nothing can be written there, or it is the directory of a run.
    """
    out = report.request.out
    if (out / DOCUMENT).exists():
        raise InputError(f"{out} is a run; choose another directory with --out.")
    try:
        _clear(out)
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "tables").mkdir(exist_ok=True)
        drawn = _draw(report, out, processes)
        for section in report.sections:
            if section.table:
                section.table.data.to_csv(out / "tables" / f"{section.table.name}.csv", index=False)
        page = out / PAGE
        page.write_text(_html(report, drawn), encoding="utf-8")
        (out / "report.md").write_text(_markdown(report, drawn), encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from None
    return page


def _clear(out: Path) -> None:
    """Remove figures and tables of an earlier report: this one may not have them."""
    page = out / PAGE
    if not page.is_file():
        return
    with page.open("rb") as file:
        is_ours = OURS in file.read(1000)
    for old in (path for pattern in FILES for path in out.glob(pattern) if is_ours):
        old.unlink()


def _draw(report: Report, out: Path, processes: int) -> dict[str, list[Drawn]]:
    """Draw all figures into ``out/figures``, with their numbers; return the panels of each section."""
    figures = {section.name: section.figure for section in report.sections if section.figure}
    panels = {name: _panels(figure) for name, figure in figures.items()}
    drawn: dict[str, list[Drawn]] = {}
    with closing(plot_pool.draw_all([panel for each in panels.values() for panel in each], processes)) as drawings:
        for name, figure in figures.items():
            if panels[name]:
                figure.data.to_csv(out / "figures" / f"{figure.name}.csv", index=False, float_format=DIGITS)
            each = enumerate(zip(panels[name], drawings, strict=False), 1)  # panels first: they say where to stop
            drawn[name] = [_write(figure, i, panel.title, drawing, out) for i, (panel, drawing) in each]
    return drawn


def _panels(figure: Figure) -> list[plot.Panel]:
    """Return the first panels of a figure, as many as are drawn."""
    if figure.data.empty:
        return []
    colours = plot.palette(figure.data)
    parts = list(plot.panels(figure.data).items())[:PANELS]
    return [plot.Panel(title, part, figure.picture, colours) for title, part in parts]


def _write(figure: Figure, number: int, title: str, drawing: plot.Drawing, out: Path) -> Drawn:
    """Write a figure's panel as two files."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]
    file = f"{figure.name}-{number}-{slug}".rstrip("-")
    (out / "figures" / f"{file}.svg").write_bytes(drawing.svg)
    (out / "figures" / f"{file}.png").write_bytes(drawing.png)
    inline = plot.inline(drawing.svg, f"{figure.name}-{number}", f"{figure.title}: {title}")
    return Drawn(title, file, Markup(inline))  # our own, its texts escaped by matplotlib


def _html(report: Report, drawn: dict[str, list[Drawn]]) -> str:
    """Fill the page; every text is escaped by jinja2."""
    folder = files("asyncrl").joinpath("report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["csv"] = _data_link
    template = environment.from_string(folder.joinpath("template.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        report=report, drawn=drawn, panels=PANELS, all_panels=_all_panels, films=list(_films(report))
    )


def _all_panels(figure: Figure) -> int:
    return int(figure.data["panel"].nunique())


def _data_link(data: pd.DataFrame) -> str:
    """Return a table as a link that downloads it."""
    return f"data:text/csv;base64,{base64.b64encode(data.to_csv(index=False, float_format=DIGITS).encode()).decode()}"


def _films(report: Report) -> Iterator[Film]:
    """Yield what was recorded of the best runs, as far as it is small enough."""
    found = 0
    for run, row in report.runs.sort_values("final", ascending=False).iterrows():
        for file in sorted(Path(report.study.runs.at[run, "path"]).iterdir()):
            if found < VIDEOS and file.suffix in KINDS and file.stat().st_size <= VIDEO_BYTES:
                found += 1
                title = f"{row['task']}, {row['label']}: {file.stem} of {run}"
                yield Film(title, KINDS[file.suffix], base64.b64encode(file.read_bytes()).decode())


def _markdown(report: Report, drawn: dict[str, list[Drawn]]) -> str:
    blocks = ["# Runs compared", *(f"> {_plain(note)}" for note in report.notes)]
    facts = {name: _code(text) if name == "Command" else _plain(text) for name, text in report.facts.items()}
    blocks.append("\n".join(f"- **{name}:** {text}" for name, text in facts.items()))
    for section in report.sections:
        blocks.append(f"## {_plain(section.title)}")
        if section.figure:
            blocks += _figure_blocks(section.figure, drawn[section.name])
        if section.table:
            blocks += _table_blocks(section.table)
    return "\n\n".join(blocks) + "\n"


def _figure_blocks(figure: Figure, drawn: list[Drawn]) -> Iterator[str]:
    if not drawn:
        yield f"No runs for this yet. These would make it:\n\n    {figure.command}"
        return
    yield "\n".join(f"![{_plain(panel.title)}](figures/{panel.file}.svg)" for panel in drawn)
    yield f"{_plain(figure.text)} Numbers: [{figure.name}.csv](figures/{figure.name}.csv)."


def _table_blocks(table: View) -> Iterator[str]:
    if not table.rows:
        yield f"No runs for this yet. These would make it:\n\n    {table.command}"
        return
    rows = [table.header, ["---:" if cell.is_number else "---" for cell in table.rows[0]]]
    rows += [[_plain(cell.text) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    yield f"{_plain(table.text)} All columns: [{table.name}.csv](tables/{table.name}.csv)."


def _code(text: str) -> str:
    """Quote a command in Markdown, to be copied as it is; within a line nothing ends the quotation."""
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}"


def _plain(text: str) -> str:
    """Take its meaning in Markdown and HTML from a text."""
    return re.sub(r"([\\`*_\[\]|<>#])", r"\\\1", " ".join(text.split()))
