"""Step "publish" of a report: writes it as one self-contained HTML page, as Markdown, and as figure and table files."""

import base64
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from asyncrl.analysis.export import csv_text
from asyncrl.errors import InputError
from asyncrl.report import plot
from asyncrl.report.columns import ReportTable
from asyncrl.report.figure_files import FLOAT_FORMAT, DrawnPanel, draw_figures
from asyncrl.report.figure_parts import Figure, SearchFigure
from asyncrl.report.gather import Report
from asyncrl.store.atomic import replace_file
from asyncrl.store.document import DOCUMENT
from asyncrl.store.sweeps import is_sweep
from asyncrl.system.files import open_regular, read_regular
from asyncrl.text import printable

PAGE, TITLE_TAG = "report.html", b"<title>asyncrl: runs compared</title>"
REPORT_FILES = ("figures/*.svg", "figures/*.png", "figures/*.csv", "tables/*.csv")
MAX_VIDEOS, MAX_VIDEO_BYTES = 3, 4_000_000  # embedded in a page, and the size of each
MEDIA_TYPES = {".mp4": "video/mp4", ".gif": "image/gif"}


class Video(NamedTuple):
    """A recorded episode of one run."""

    title: str
    media_type: str
    data: str  # base64


class Videos(NamedTuple):
    """The videos of a page."""

    shown: list[Video]
    left_out: int  # files that are too large, or no regular files


def publish(report: Report, processes: int = 1) -> Path:
    """Write ``report.html``, ``report.md``, ``figures/`` and ``tables/``; return the page.

    Args:
        report: what to write.
        processes: how many processes may draw. With more than one, a script that calls this needs the guard
            ``if __name__ == "__main__"``, as any script that starts processes.

    Raises:
        InputError: the directory cannot be written to, or it is the directory of a run or a sweep.
    """
    out = report.request.out
    if (out / DOCUMENT).exists() or is_sweep(out):
        raise InputError(f"{out} is a {'sweep' if is_sweep(out) else 'run'}; choose another directory with --out.")
    try:
        _remove_old_files(out)
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "tables").mkdir(exist_ok=True)
        drawn = draw_figures(report.sections, out, processes)
        for section in report.sections:
            if section.table:
                file = out / "tables" / f"{section.table.name}.csv"
                file.write_text(csv_text(section.table.data), encoding="utf-8")
        page = out / PAGE
        replace_file(page, _html(report, drawn).encode())
        replace_file(out / "report.md", _markdown(report, drawn).encode())
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from None
    return page


def _remove_old_files(out: Path) -> None:
    """Remove figures and tables of an earlier report, which the new one may lack; leave other files.

    Links are removed too: what is written through them would replace files elsewhere.
    """
    for place in (out / "figures", out / "tables"):
        if place.is_symlink():
            raise InputError(f"{place} is a link; remove it, or choose another directory with --out.")
    try:
        with open_regular(out / PAGE) as file:
            is_report = TITLE_TAG in file.read(1000)
    except OSError:
        is_report = False
    for old in (path for pattern in REPORT_FILES for path in out.glob(pattern)):
        if is_report or not old.is_file() or old.is_symlink():
            old.unlink()


def _html(report: Report, drawn: dict[str, list[DrawnPanel]]) -> str:
    """Render the page; jinja2 escapes every text."""
    folder = files("asyncrl").joinpath("report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_page_text
    )
    environment.filters["csv"] = _csv_data_url
    template = environment.from_string(folder.joinpath("template.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        drawn=drawn,
        left_out=plot.left_out,
        videos=_videos(report),
        video_bytes=MAX_VIDEO_BYTES,
    )


def _page_text(value: object) -> object:
    """Return what a page shows of a value: texts may have characters that no page may have."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _csv_data_url(data: pd.DataFrame) -> str:
    """Return a table as a data URL of CSV."""
    text = csv_text(data, FLOAT_FORMAT)
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


def _videos(report: Report) -> Videos:
    """Read recorded episodes of the best runs.

    A run may come from other people: a link in it may lead to any file of the reader, and a FIFO never ends.
    """
    shown: list[Video] = []
    left_out = 0
    for run, row in report.runs.sort_values("final", ascending=False).iterrows():
        # A path that is not UTF-8 is escaped in the table, so that it leads nowhere.
        for file in _video_files(Path(report.comparison.runs.at[run, "path"])):
            if len(shown) == MAX_VIDEOS:
                return Videos(shown, left_out)
            try:
                data = read_regular(file, MAX_VIDEO_BYTES)
            except OSError:
                left_out += 1
                continue
            title = f"{row['task']}, {row['label']}: {file.stem} of {run}"
            shown.append(Video(title, MEDIA_TYPES[file.suffix], base64.b64encode(data).decode()))
    return Videos(shown, left_out)


def _video_files(run: Path) -> list[Path]:
    try:
        return sorted(file for file in run.iterdir() if file.suffix in MEDIA_TYPES)
    except OSError:
        return []


def _markdown(report: Report, drawn: dict[str, list[DrawnPanel]]) -> str:
    blocks = ["# Runs compared", *(f"> {_escape_markdown(note)}" for note in report.notes)]
    provenance = {
        name: _code_span(text) if name == "Command" else _escape_markdown(text)
        for name, text in report.provenance.items()
    }
    blocks.append("\n".join(f"- **{name}:** {text}" for name, text in provenance.items()))
    for section in report.sections:
        blocks.append(f"## {_escape_markdown(section.title)}")
        if section.figure:
            blocks += _figure_blocks(section.figure, drawn[section.name])
        if section.search:
            blocks += _search_blocks(section.search, drawn[section.name])
        if section.table:
            blocks += _table_blocks(section.table)
    return "\n\n".join(blocks) + "\n"


def _figure_blocks(figure: Figure, drawn: list[DrawnPanel]) -> Iterator[str]:
    if not drawn:
        yield f"No runs for this yet. This command makes some:\n\n    {figure.command}"
        return
    yield _images(drawn)
    text = _escape_markdown(figure.text + plot.left_out(figure.data))
    yield f"{text} Data: [{figure.name}.csv](figures/{figure.name}.csv)."


def _search_blocks(figure: SearchFigure, drawn: list[DrawnPanel]) -> Iterator[str]:
    yield _images([panel for panel in drawn if not panel.reason])
    yield from (_escape_markdown(f"{panel.title} is not drawn: {panel.reason}.") for panel in drawn if panel.reason)
    yield f"{_escape_markdown(figure.text)} Data: [{figure.name}.csv](figures/{figure.name}.csv)."


def _images(drawn: list[DrawnPanel]) -> str:
    return "\n".join(f"![{_escape_markdown(panel.title)}](figures/{panel.file}.svg)" for panel in drawn)


def _table_blocks(table: ReportTable) -> Iterator[str]:
    if not table.rows:
        yield f"No runs for this yet. This command makes some:\n\n    {table.command}"
        return
    rows = [table.header, ["---:" if cell.is_number else "---" for cell in table.rows[0]]]
    rows += [[_escape_markdown(cell.text) for cell in row] for row in table.rows]
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = f" A dash means: {'; '.join(table.footnotes)}." if table.footnotes else ""
    yield f"{_escape_markdown(table.text + notes)} All columns: [{table.name}.csv](tables/{table.name}.csv)."


def _code_span(text: str) -> str:
    """Return a command as Markdown code on one line, with a fence longer than any run of backquotes in it."""
    text = " ".join(printable(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}"


def _escape_markdown(text: str) -> str:
    """Escape the characters of a text that have a meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]|<>#])", r"\\\1", " ".join(printable(text).split()))
