"""Step "figures" of a report: for each figure its series, its axes, its paragraph, and the command that makes its runs.

A paragraph says what a figure shows and what it cannot show. This module plots nothing: ``plot`` does.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from asyncrl.analysis import series
from asyncrl.analysis.validity import Comparison
from asyncrl.report.plot_spec import FRAMES, SCORE, THREADS, Axis, PlotSpec
from asyncrl.text import counted, score

FEW_RUNS = 5  # runs of a series; with fewer, the order of two methods may be chance
TIME_UNITS = (("hours", 1), ("minutes", 60), ("seconds", 3600))
MIN_UNITS = 2.0  # length of the longest run in a unit, for the unit to be used
MORE_THREADS = "for n in 1 2 4; do asyncrl run --algo a3c --env pong --threads $n --frames 10M; done"
TWO_GAMES = "asyncrl run --env pong; asyncrl run --env breakout    # Atari games have human scores to compare with"
BAND = "the band is the 95 % bootstrap interval of the mean over runs; a single run has none"


class Figure(NamedTuple):
    """One figure; its data may be empty."""

    name: str  # of its files
    title: str
    data: pd.DataFrame  # as in ``series``
    spec: PlotSpec
    text: str  # a plain paragraph
    command: str  # makes runs for this figure


class ReportData(NamedTuple):
    """Tables that figures and sections share."""

    runs: pd.DataFrame  # scores.run_scores
    summary: pd.DataFrame  # tables.summary
    speedup: pd.DataFrame  # tables.speedup
    references: Mapping[str, float]  # score to reach, by task


def build_figures(comparison: Comparison, data: ReportData) -> list[Figure]:
    """Return every figure of a report, including those without data."""
    return [
        _learning_curves(comparison, "frames"),
        _learning_curves(comparison, "hours"),
        _learning_rates(comparison, data),
        _curves_by_threads(comparison, "frames"),
        _curves_by_threads(comparison, "hours"),
        _speedup(comparison, data),
        _frames_per_second(comparison, data),
        _optimizers(comparison, data),
        _aggregates(comparison, data),
        _profiles(comparison, data),
        _training_statistics(comparison),
    ]


def _learning_curves(comparison: Comparison, unit: str) -> Figure:
    data = series.learning_curves(comparison, unit)
    limits = {
        "frames": "It shows the score of each method after the same number of frames. It cannot show which method is "
        "faster in time: the next figure does.",
        "hours": "It shows the score of each method after the same training time on these machines. It cannot show "
        "other machines: time depends on processors, cores and other load. Time is training time, without "
        "evaluations.",
    }[unit]
    best = (
        f" Dotted lines average the best {series.BEST_RUNS} runs by final score, as the paper's figure 1 does with 50 "
        "runs; they are biased upwards."
    )
    best = best if data["statistic"].str.contains("best").any() else ""
    text = (
        f"Mean score of the evaluations during training, against {unit}; one line per method, {_number_of_runs(data)}. "
        "A line averages runs over the stretch that all of them cover (runs without a common stretch have a line "
        f"each), and {BAND}. {limits}{best}"
    )
    command = "asyncrl run --algo a3c --env pong --threads 2 --frames 10M    # then --algo n-step-q, and other seeds"
    data, axis = _with_time_unit(data, unit)
    spec = PlotSpec(axis, SCORE)
    return Figure(f"score-{unit}", f"Score against {unit}", data, spec, _paragraph(text, comparison, data), command)


def _with_time_unit(data: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, Axis]:
    """Return a series and its x axis; hours become minutes or seconds if all runs are short."""
    if unit == "frames":
        return data, FRAMES
    longest = 0.0 if data.empty else data["x"].max()
    unit, per_hour = next((each for each in TIME_UNITS if longest * each[1] >= MIN_UNITS), TIME_UNITS[-1])
    return data.assign(x=data["x"] * per_hour), Axis(f"{unit} of training")


def _learning_rates(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.score_by_learning_rate(tables.runs)
    text = (
        "Final score of each run against its learning rate, a point per run (the paper's figure 2). It shows how wide "
        "the range of good learning rates is, and how much scores vary within it. It cannot show the best rate for "
        "another budget: the rate is annealed over the run."
    )
    command = "for lr in 3e-4 1e-3 3e-3; do asyncrl run --env pong --threads 2 --set optimizer.lr=$lr; done"
    spec, title = PlotSpec(Axis("learning rate", "log"), Axis("final score"), "points"), "Score against learning rate"
    return Figure("learning-rates", title, data, spec, _paragraph(text, comparison, data), command)


def _curves_by_threads(comparison: Comparison, unit: str) -> Figure:
    data = series.curves_by_threads(comparison, unit)
    number, title = (3, "Data efficiency by threads") if unit == "frames" else (4, "Training speed by threads")
    limits = {
        "frames": "If lines coincide, more threads need no more frames; a line further left learns more from each "
        "frame. It cannot show speed.",
        "hours": "A line further left is faster in time. It cannot show the cause: more frames per second, or more "
        "learned from each frame.",
    }[unit]
    text = (
        f"Score against {unit} for each number of threads, {_number_of_runs(data)} (the paper's figure {number}); "
        f"{BAND}. {limits} With more than {series.BEST_RATES} learning rates, only runs of the best "
        f"{series.BEST_RATES} count, as in the paper."
    )
    data, axis = _with_time_unit(data, unit)
    spec = PlotSpec(axis, SCORE)
    return Figure(f"threads-{unit}", title, data, spec, _paragraph(text, comparison, data), MORE_THREADS)


def _speedup(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.speedup_by_threads(tables.speedup)
    scores = "; ".join(f"{score(value)} on {task}" for task, value in sorted(tables.references.items()))
    text = (
        "Time of one thread to a fixed score divided by that of n threads, averaged over games (dashed: the paper's "
        f"Table 2, seven games on 16 cores). The scores to reach: {scores}. Time is the median over runs; a run that "
        "never reached the score counts as infinite, and there is no point if half of the runs did not reach it. It "
        "cannot be compared with the paper for more threads than cores: such threads share cores."
    )
    spec = PlotSpec(THREADS, Axis("speed-up over one thread"), "both")
    return Figure("speed-up", "Speed-up by threads", data, spec, _paragraph(text, comparison, data), MORE_THREADS)


def _frames_per_second(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.frames_per_second(tables.runs)
    text = (
        f"Frames per second of training, without evaluations: the median over runs, {_number_of_runs(data)}; the bar "
        "spans from the slowest to the fastest run. It shows the throughput of the machine with more threads. It "
        "cannot show learning: less may be learned from each of more frames. Several environments per thread also "
        "change the algorithm slightly."
    )
    command = "asyncrl run --env pong --threads 2 --frames 1M"
    spec = PlotSpec(THREADS, Axis("frames per second", "frames"), "both")
    return Figure("frames-per-second", "Frames per second", data, spec, _paragraph(text, comparison, data), command)


def _optimizers(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.scores_by_optimizer(tables.runs)
    text = (
        "Final scores of the runs of each optimiser, in descending order (the paper's figure S5: 50 runs each, with "
        "random learning rates). A curve that stays high longer is less sensitive to learning rate and seed. "
        "Optimisers with different numbers of runs cannot be compared at the same rank."
    )
    command = "for o in shared-rmsprop rmsprop momentum; do asyncrl run --env pong --set optimizer.name=$o; done"
    spec = PlotSpec(Axis("rank of the run by final score", "counts"), Axis("final score"), "both")
    return Figure("optimisers", "Optimisers", data, spec, _paragraph(text, comparison, data), command)


def _aggregates(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.aggregate_intervals(tables.summary)
    text = (
        f"Human-normalised final scores over all games of a method, in %, {_number_of_runs(data)}, with 95 % bootstrap "
        "intervals, stratified by game (Agarwal et al. 2021). IQM is the mean of the middle half of the runs; the "
        "median and the mean are over games; the optimality gap is the mean shortfall from 100 %, so less is better. "
        "An interval is missing if a game has one run. Methods with different games cannot be compared."
    )
    spec = PlotSpec(Axis("% of a human"), Axis("", "names"), "intervals")
    return Figure("aggregates", "Aggregates over games", data, spec, _paragraph(text, comparison, data), TWO_GAMES)


def _profiles(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.performance_profiles(tables.runs)
    text = (
        f"The fraction of runs with a final score above each human-normalised score, {_number_of_runs(data)}, all "
        "games with equal weight (performance profiles, Agarwal et al. 2021). If one line is above another "
        "everywhere, its method is better; if lines cross, the order depends on the score. It cannot show the game of "
        "a run."
    )
    spec = PlotSpec(Axis("% of a human"), Axis("fraction of runs above"))
    return Figure("profiles", "Performance profiles", data, spec, _paragraph(text, comparison, data), TWO_GAMES)


def _training_statistics(comparison: Comparison) -> Figure:
    data = series.training_statistics(comparison)
    text = (
        f"Statistics of training: means over the updates of a logging interval, {_number_of_runs(data)}. Entropy near "
        "0: the policy is nearly deterministic. Mean Q or value that grows without limit: divergence. Gradient norm at "
        "the clipping threshold: gradients are clipped. Policy lag: updates by other workers while a gradient was "
        "computed. It can help to explain a score; it cannot replace one."
    )
    command = "asyncrl run --env pong --threads 2"
    spec = PlotSpec(FRAMES, Axis("mean of a logging interval"))
    return Figure("health", "Training statistics", data, spec, _paragraph(text, comparison, data), command)


def _number_of_runs(data: pd.DataFrame) -> str:
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


def _paragraph(text: str, comparison: Comparison, data: pd.DataFrame) -> str:
    """Append what applies to every figure: few runs, unfinished runs, protocols and machines."""
    if data.empty:
        return ""
    sentences = [text, *few_runs_warning(data["runs"])]
    if comparison.is_provisional:
        sentences.append("No run has finished: the numbers are preliminary.")
    protocols = ", ".join(sorted(set(comparison.runs["protocol"].astype(str))))
    machines = "; ".join(sorted(set(comparison.runs["machine"])))
    return " ".join([*sentences, f"Protocol: {protocols}. Machine: {machines}."])
