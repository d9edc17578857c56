"""Step "plot" of a report for searches: Optuna's own plots of a study, in the style of the report."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from asyncrl.report import plot
from asyncrl.report.figure_parts import SearchFigure
from asyncrl.text import counted, error_text

if TYPE_CHECKING:
    from optuna import Study

VALUE = "value"
LABELS = {"Hyperparameter": "", "Hyperparameter Importance": "importance", "Trial": "trial"}  # for those of Optuna
STYLE = {**plot.STYLE, "figure.figsize": (plot.WIDTH, plot.HEIGHT), "figure.constrained_layout.use": True}


class SearchPanel(NamedTuple):
    """One plot of a study."""

    title: str
    draw: "Callable[[Study], Any]"  # returns axes
    trials: int = 2  # that it needs
    parameters: int = 1


def draw_search(figure: SearchFigure) -> Iterator[tuple[str, plot.Drawing | str]]:
    """Yield the title and the drawing of each plot of a search, or the reason why it cannot be drawn."""
    for panel in _panels(figure):
        if len(figure.data) < panel.trials:
            yield panel.title, f"it needs {counted(panel.trials, 'trial')}, and there are {len(figure.data)}"
        elif len(figure.parameters) < panel.parameters:
            yield panel.title, f"it needs {counted(panel.parameters, 'setting')} that vary"
        else:
            # What Optuna can draw depends on the study in ways that only Optuna knows.
            try:
                yield panel.title, _draw(panel, figure)
            except Exception as error:
                yield panel.title, error_text(error)


def _panels(figure: SearchFigure) -> Iterator[SearchPanel]:
    import optuna
    from optuna.visualization import matplotlib as plots

    shown, evaluator = figure.parameters, optuna.importance.PedAnovaImportanceEvaluator()
    importance = partial(plots.plot_param_importances, evaluator=evaluator, params=shown, target_name=VALUE)
    yield SearchPanel("Importance of settings", importance, trials=5, parameters=2)
    yield SearchPanel("History of values", partial(plots.plot_optimization_history, target_name=VALUE), 1, 0)
    coordinates = partial(plots.plot_parallel_coordinate, params=shown, target_name=VALUE)
    yield SearchPanel("Parallel coordinates", coordinates, parameters=2)
    for name in shown:
        yield SearchPanel(f"Slice: {name}", partial(plots.plot_slice, params=[name], target_name=VALUE))


def _draw(panel: SearchPanel, figure: SearchFigure) -> plot.Drawing:
    with warnings.catch_warnings(record=True) as caught, _state_of_pyplot():
        warnings.simplefilter("always")
        axes: Axes = panel.draw(figure.study)
        canvas = axes.figure
        assert isinstance(canvas, MatplotlibFigure)
        _format(canvas)
        axes.set_title(panel.title, loc="left", fontsize=plot.STYLE["axes.titlesize"])
        svg, png = plot.render(canvas)
    return plot.Drawing(svg, png, frozenset(str(warning.message) for warning in caught))


def _format(canvas: MatplotlibFigure) -> None:
    """Replace titles, labels and sizes of Optuna by those of the report, and ticks in TeX, which is turned off."""
    for axes in canvas.axes:
        axes.set_title("")
        if legend := axes.get_legend():
            legend.remove()
            if len(legend.get_texts()) > 1:
                axes.legend()
        for axis in (axes.xaxis, axes.yaxis):
            label = axis.get_label_text()
            axis.set_label_text(LABELS.get(label, label), fontsize=plot.STYLE["axes.labelsize"])
            if axis.get_scale() == "log":
                low, high = map(math.log10, sorted(axis.get_view_interval()))
                is_short = math.floor(high) - math.ceil(low) < 1  # with fewer than two powers of ten
                axis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())


@contextmanager
def _state_of_pyplot() -> Iterator[None]:
    """Let Optuna draw with pyplot without a window, and restore what it changes: styles, backend, open figures."""
    backend, opened = matplotlib.get_backend(), pyplot.get_fignums()
    with matplotlib.rc_context(STYLE):
        pyplot.switch_backend("agg")
        try:
            yield
        finally:
            for number in set(pyplot.get_fignums()) - set(opened):
                pyplot.close(number)
            pyplot.switch_backend(backend)
