"""What figures of a report are made of: their type, and the sentences that several of them share."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from asyncrl.analysis.validity import Comparison
from asyncrl.report.plot_spec import PlotSpec
from asyncrl.store.document import SIMULATED
from asyncrl.text import counted

if TYPE_CHECKING:
    from optuna import Study

FEW_RUNS = 5  # runs of a series; with fewer, the order of two methods may be chance


class Figure(NamedTuple):
    """One figure; its data may be empty."""

    name: str  # of its files
    title: str
    data: pd.DataFrame  # as in ``series``
    spec: PlotSpec
    text: str  # a plain paragraph
    command: str  # makes runs for this figure


class SearchFigure(NamedTuple):
    """The plots of one search, which Optuna draws."""

    name: str  # of its files
    title: str
    data: pd.DataFrame  # one row per trial
    text: str  # a plain paragraph
    study: "Study"  # in memory, with names and values as they are shown
    parameters: list[str]  # those that are drawn


class ReportData(NamedTuple):
    """Tables that figures and sections share."""

    runs: pd.DataFrame  # scores.run_scores
    summary: pd.DataFrame  # tables.summary
    speedup: pd.DataFrame  # speed.speedup
    references: Mapping[str, float]  # score to reach, by task


def number_of_runs(data: pd.DataFrame) -> str:
    """Return the number of runs of our series, such as ``n = 2 to 5 runs each``."""
    ours = data.loc[~data["series"].astype(str).str.startswith("paper: "), "runs"].dropna()
    if ours.empty:
        return "n = 0"
    low, high = int(ours.min()), int(ours.max())
    return f"n = {counted(low, 'run')} each" if low == high else f"n = {low} to {high} runs each"


def few_runs_warning(runs: pd.Series) -> list[str]:
    """Return a sentence of warning if one of these numbers of runs is small."""
    text = f"With fewer than {FEW_RUNS} runs of a method, the order of two methods may be chance."
    return [text] if runs.min() < FEW_RUNS else []


def clock_notes(comparison: Comparison) -> str:
    """Return what a comparison of threads must say of simulated time, and of workers that take turns; or nothing."""
    runs, notes = comparison.runs, []
    if (runs["clock"] == SIMULATED).any():
        notes.append(
            "Times of simulated runs are virtual seconds of a cost model: with a core for each worker, frames per "
            "second grow linearly with threads by assumption, and only the frames to a score are a result."
        )
    if count := int(runs["turns"].eq(True).sum()):
        notes.append(
            f"In {counted(count, 'run')} of {len(runs)} workers took turns on fewer cores than threads, which lowers "
            "the policy lag: they cannot show how stale gradients of so many threads are (workers.turns)."
        )
    return "".join(f" {note}" for note in notes)


def paragraph(text: str, comparison: Comparison, data: pd.DataFrame) -> str:
    """Append what applies to every figure: few runs, unfinished runs, protocols and machines."""
    if data.empty:
        return ""
    sentences = [text, *few_runs_warning(data["runs"])]
    if comparison.is_provisional:
        sentences.append("No run has finished: the numbers are preliminary.")
    protocols = ", ".join(sorted(set(comparison.runs["protocol"].astype(str))))
    machines = "; ".join(sorted(set(comparison.runs["machine"])))
    return " ".join([*sentences, f"Protocol: {protocols}. Machine: {machines}."])
