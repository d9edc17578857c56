"""Figures of final score against a numeric setting: figure 2 of the paper, and the same for every one that varies."""

import pandas as pd

from asyncrl.analysis import series
from asyncrl.analysis.validity import Comparison
from asyncrl.analysis.varying import LEARNING_RATE
from asyncrl.report.figure_parts import Figure, ReportData, number_of_runs, paragraph
from asyncrl.report.plot_spec import Axis, PlotSpec

BY_SETTING = "by-"  # before the setting in the name of a figure of scores against it
LOG_SPAN = 8.0  # of the largest to the smallest value, from which an axis is logarithmic
RATES = "for lr in 3e-4 1e-3 3e-3; do asyncrl run --env pong --threads 2 --set optimizer.lr=$lr; done"


def build_setting_figures(comparison: Comparison, data: ReportData) -> list[Figure]:
    """Return the figure of the learning rate, also without data, and one of each other setting with data."""
    names = [name for name in comparison.varying.numeric if name != LEARNING_RATE]
    first, *others = (_score_by_setting(comparison, data, name) for name in (LEARNING_RATE, *names))
    return [first, *(figure for figure in others if not figure.data.empty)]


def _score_by_setting(comparison: Comparison, tables: ReportData, setting: str) -> Figure:
    data = series.score_by_setting(tables.runs, comparison.varying, setting)
    is_axis = setting in comparison.varying.axes
    points = "a point per run" if is_axis else f"the mean over runs, {number_of_runs(data)}, with a 95 % interval"
    if setting == LEARNING_RATE:
        file, name, shown = "learning-rates", "learning rate", " (the paper's figure 2)"
        limit = "the best rate for another budget: the rate is annealed over the run"
    else:
        file, name, shown = BY_SETTING + setting.replace(".", "-"), setting, ""
        limit = "the best value for another budget, or with other values of the settings that do not vary"
    text = (
        f"Final score against the {name}, {points}{shown}. It shows how wide the range of good values is, and how much "
        f"scores vary within it. It cannot show {limit}."
    )
    spec = PlotSpec(Axis(name, _axis_kind(data["x"])), Axis("final score"), "points" if is_axis else "both")
    return Figure(file, f"Score against {name}", data, spec, paragraph(text, comparison, data), RATES)


def _axis_kind(values: pd.Series) -> str:
    """Return ``log`` for positive values of a large span."""
    low, high = values.min(), values.max()
    return "log" if low > 0 and high >= LOG_SPAN * low else "linear"
