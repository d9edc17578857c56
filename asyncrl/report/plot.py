"""Step "plot" of a report: draws tables of ``series`` with matplotlib, one image per panel, readable on phones."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from asyncrl.report.plot_spec import PlotSpec
from asyncrl.text import natural

WIDTH, HEIGHT, LEGEND_ROW = 4.4, 2.7, 0.19  # inches
LEGEND_CHARACTERS = 70  # per row of the legend
DISTINCT_COLOURS = 10  # in the qualitative palette
BEST_PATTERN, SINGLE_RUN_PATTERN = r", best \d+ of \d+(?=$|, )", r", run \d+ of \d+$"  # in series names
THREADS_PATTERN = r", (\d+) threads?(?=$|, | \()"
MAX_PANELS, MAX_SERIES = 24, 10  # drawn of a figure, and in a panel; the CSV has all
MAX_TICKS = 8
DPI = 160
PATH_PATTERN = re.compile(rb' d="[^"]*"')
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "asyncrl",  # the same figure is the same file
    "text.parse_math": False,  # a run may be named $a$
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
}


class Panel(NamedTuple):
    """One panel to draw."""

    title: str
    data: pd.DataFrame  # of this panel, as in ``series``
    spec: PlotSpec
    colours: Mapping[str, Any]  # by series; the same in all panels of a figure


class Drawing(NamedTuple):
    """A drawn panel."""

    svg: bytes
    png: bytes
    warnings: frozenset[str]  # from matplotlib, such as a glyph missing in the font


def panels(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the data of each panel, in order of appearance."""
    return {str(panel): rows for panel, rows in data.groupby("panel", sort=False)}


def drawn_series(data: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a panel that are drawn: of many series, those that end highest."""
    ends = data.groupby("series", sort=False)["y"].last()
    if len(ends) <= MAX_SERIES or ends.isna().all():
        return data
    return data[data["series"].isin(ends.nlargest(MAX_SERIES).index)]


def left_out(data: pd.DataFrame) -> str:
    """Return a sentence on the panels and series that are not drawn; empty if all are."""
    known = list(panels(data).values())
    texts = [f"the first {MAX_PANELS} of {len(known)} panels"] if len(known) > MAX_PANELS else []
    if lines := sum(each["series"].nunique() - drawn_series(each)["series"].nunique() for each in known[:MAX_PANELS]):
        texts.append(f"in each panel the {MAX_SERIES} series that end highest, without {lines:,} others")
    return f" Drawn are {' and '.join(texts)}; the CSV has all." if texts else ""


def palette(data: pd.DataFrame) -> dict[str, Any]:
    """Return a colour for each series of a figure; a sequential scale if all series are thread counts."""
    names = sorted(dict.fromkeys(data["series"]), key=natural)
    threads = {name: int(name.split()[0]) for name in names if re.fullmatch(r"\d+ threads?", name)}
    if len(threads) == len(names):
        ordered = sorted(names, key=threads.__getitem__)
        return dict(zip(ordered, seaborn.color_palette("flare", len(ordered)), strict=True))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_colour_group(name), []).append(name)
    is_distinct = len(groups) <= DISTINCT_COLOURS
    hues = seaborn.color_palette("colorblind", len(groups)) if is_distinct else seaborn.husl_palette(len(groups))
    return {name: shade for each, hue in zip(groups.values(), hues, strict=True) for name, shade in _shades(each, hue)}


def _shades(names: Sequence[str], hue: Any) -> Iterator[tuple[str, Any]]:
    """Yield a shade of one colour for each series; the more threads, the darker."""
    counts = sorted({_threads(name) for name in names})
    shades = seaborn.light_palette(hue, 2 * len(counts))[len(counts) :]
    for name in names:
        yield name, shades[counts.index(_threads(name))]


def _colour_group(name: str) -> str:
    """Return the method of a series: its best runs, single runs, thread counts and the paper's share a colour."""
    return re.sub(rf"{BEST_PATTERN}|{SINGLE_RUN_PATTERN}|{THREADS_PATTERN}", "", name.removeprefix("paper: "))


def _threads(name: str) -> int:
    found = re.search(THREADS_PATTERN, name)
    return int(found[1]) if found else 0


def _dash(name: str) -> str:
    return "--" if name.startswith("paper: ") else ":" if re.search(BEST_PATTERN, name) else "-"


def draw(panel: Panel) -> Drawing:
    """Draw one panel; warnings are collected in the result instead of issued."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        svg, png = _draw(panel)
    return Drawing(svg, png, frozenset(str(warning.message) for warning in caught))


def _draw(panel: Panel) -> tuple[bytes, bytes]:
    title, data, spec, colours = panel
    with _plot_style():
        names = [name for name in colours if name in set(data["series"])]
        legend = [] if spec.y.kind == "names" else names
        columns = max(1, LEGEND_CHARACTERS // (6 + max(map(len, legend), default=0)))
        rows = -(-len(legend) // columns)
        canvas = MatplotlibFigure(figsize=(WIDTH, HEIGHT + LEGEND_ROW * rows), layout="constrained")
        axes = canvas.subplots()
        handles = {name: _plot_series(axes, name, data[data["series"] == name], spec, colours[name]) for name in names}
        _format_axes(axes, title, spec, data, names)
        if legend:
            _add_legend(canvas, handles, legend, columns)
        return render(canvas)


def _add_legend(canvas: MatplotlibFigure, handles: Mapping[str, Any], legend: Sequence[str], columns: int) -> None:
    made = canvas.legend(
        [handles[name] for name in legend],
        # matplotlib leaves out a label that begins with an underscore, so texts are set afterwards
        ["·"] * len(legend),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=2.2,
        columnspacing=1.2,
    )
    for text, name in zip(made.get_texts(), legend, strict=True):
        text.set_text(name)


def render(canvas: MatplotlibFigure) -> tuple[bytes, bytes]:
    """Return a figure as SVG and PNG; unlike savefig, compute its layout only once."""
    svg, png = io.BytesIO(), io.BytesIO()
    FigureCanvasSVG(canvas).print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
    canvas.set_layout_engine("none")
    canvas.set_dpi(DPI)
    FigureCanvasAgg(canvas).print_png(png)  # type: ignore[no-untyped-call]
    return PATH_PATTERN.sub(_rounded, svg.getvalue()), png.getvalue()


def _rounded(path: re.Match[bytes]) -> bytes:
    """Round the coordinates of a path down to 0.01 points, which halves the size of the file."""
    return re.sub(rb"(\d\.\d\d)\d+", rb"\1", path[0])


@contextmanager
def _plot_style() -> Iterator[None]:
    with matplotlib.rc_context({**seaborn.axes_style("ticks"), **STYLE}):
        yield


def _plot_series(axes: Axes, name: str, rows: pd.DataFrame, spec: PlotSpec, colour: Any) -> Any:
    """Plot one series, and return what the legend shows of it."""
    x, y, low, high = (rows[column].to_numpy(float) for column in ("x", "y", "low", "high"))
    if spec.marks == "intervals":
        axes.plot([low[0], high[0]], [name, name], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
        return axes.plot(x[:1], [name], "o", color=colour, markersize=5)[0]
    if spec.marks == "points":
        return axes.scatter(x, y, color=colour, s=16)
    marker = "o" if spec.marks == "both" or len(rows) == 1 else ""
    (line,) = axes.plot(x, y, color=colour, linestyle=_dash(name), marker=marker, markersize=4, linewidth=1.5)
    if not np.isnan(low).all():
        if spec.marks == "both":
            axes.vlines(x, low, high, color=colour, alpha=0.5, linewidth=2)
        else:
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    return line


def _format_axes(axes: Axes, title: str, spec: PlotSpec, data: pd.DataFrame, names: Sequence[str]) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(spec.x.label)
    axes.set_ylabel(spec.y.label)
    axes.grid(True, axis="both" if spec.y.kind != "names" else "x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for axis, mpl_axis in ((spec.x, axes.xaxis), (spec.y, axes.yaxis)):
        if axis.kind == "frames":
            mpl_axis.set_major_formatter(EngFormatter(sep=""))
        elif axis.kind == "counts":
            counts = sorted(set(data["x"]))
            every_count, some = FixedLocator(counts), MaxNLocator(integer=True, nbins=MAX_TICKS)
            mpl_axis.set_major_locator(every_count if len(counts) <= MAX_TICKS else some)
        elif axis.kind == "log":
            axes.set_xscale("log") if mpl_axis is axes.xaxis else axes.set_yscale("log")
            # Few values have a tick each; else there is one at each power of ten.
            if len(values := sorted(set(data["x"]))) <= MAX_TICKS and spec.marks == "both":
                mpl_axis.set_major_locator(FixedLocator(values))
            # the default formatter writes TeX, which is turned off
            mpl_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            mpl_axis.set_minor_formatter(NullFormatter())
    if spec.marks == "both":
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if spec.y.kind == "names":
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.invert_yaxis()
        axes.margins(y=0.3 if len(names) < 3 else 0.1)
        axes.tick_params(axis="y", length=0)


def inline(svg: bytes, prefix: str, description: str) -> Markup:
    """Return an SVG element to embed in a page: scalable, with a description and with unique ids.

    Args:
        svg: a file, as ``draw`` returns it.
        prefix: of its ids, unique in the page.
        description: for screen readers, not yet escaped.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", text)
    size = re.match(r'<svg[^>]*?viewBox="([\d. -]+)"', text, re.DOTALL)
    view = size[1] if size else "0 0 317 194"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view}"'
    return Markup(f'{head} role="img" aria-label="{escape(description)}">' + text[text.index(">") + 1 :])
