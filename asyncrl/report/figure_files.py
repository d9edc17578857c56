"""Step "publish" of a report, its figures: draws them, and writes them as SVG, PNG and CSV files."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from asyncrl.analysis.export import csv_text
from asyncrl.report import plot, plot_pool
from asyncrl.report.figure_parts import Figure, SearchFigure
from asyncrl.report.sections import Section
from asyncrl.text import printable

FLOAT_FORMAT = "%.9g"  # in CSV files


class DrawnPanel(NamedTuple):
    """One panel of a figure, after its files were written."""

    title: str
    file: str  # without suffix
    inline: Markup
    reason: str = ""  # why it is not drawn; then it has no file


def draw_figures(sections: Sequence[Section], out: Path, processes: int) -> dict[str, list[DrawnPanel]]:
    """Draw all figures into ``out/figures``, with CSV files; return the panels of each section.

    Args:
        sections: of a report.
        out: the directory of the report.
        processes: how many processes may draw.
    """
    figures = {section.name: section.figure for section in sections if section.figure}
    panels = {name: _panels(figure) for name, figure in figures.items()}
    drawn: dict[str, list[DrawnPanel]] = {}
    with closing(plot_pool.draw_all([panel for each in panels.values() for panel in each], processes)) as drawings:
        for name, figure in figures.items():
            if panels[name]:
                _write_data(figure, out)
            # panels come first in zip, so that no further drawing is taken when they end
            each = enumerate(zip(panels[name], drawings, strict=False), 1)
            drawn[name] = [_write(figure, i, panel.title, drawing, out) for i, (panel, drawing) in each]
    return drawn | {section.name: list(_draw_search(section.search, out)) for section in sections if section.search}


def _draw_search(figure: SearchFigure, out: Path) -> Iterator[DrawnPanel]:
    # It imports Optuna, which may be absent.
    from asyncrl.report.search_plot import draw_search

    _write_data(figure, out)
    for i, (title, drawing) in enumerate(draw_search(figure), 1):
        if isinstance(drawing, str):
            yield DrawnPanel(title, "", Markup(""), drawing)
        else:
            yield _write(figure, i, title, drawing, out)


def _write_data(figure: Figure | SearchFigure, out: Path) -> None:
    file = out / "figures" / f"{figure.name}.csv"
    file.write_text(csv_text(figure.data, FLOAT_FORMAT), encoding="utf-8")


def _panels(figure: Figure) -> list[plot.Panel]:
    """Return the panels of a figure, at most ``plot.MAX_PANELS``, each with the series that are drawn."""
    if figure.data.empty:
        return []
    first = list(plot.panels(figure.data).items())[: plot.MAX_PANELS]
    shown = {title: plot.drawn_series(data) for title, data in first}
    colours = plot.palette(pd.concat(shown.values()))
    return [plot.Panel(title, data, figure.spec, colours) for title, data in shown.items()]


def _write(figure: Figure | SearchFigure, number: int, title: str, drawing: plot.Drawing, out: Path) -> DrawnPanel:
    """Write a panel of a figure as SVG and PNG."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]
    file = f"{figure.name}-{number}-{slug}".rstrip("-")
    (out / "figures" / f"{file}.svg").write_bytes(drawing.svg)
    (out / "figures" / f"{file}.png").write_bytes(drawing.png)
    inline = plot.inline(drawing.svg, f"{figure.name}-{number}", printable(f"{figure.title}: {title}"))
    return DrawnPanel(title, file, inline)
