"""Step "figures" of a report: for each figure its series, its axes, its paragraph, and the command that makes its runs.

A paragraph says what a figure shows and what it cannot show. This module plots nothing: ``plot`` does.
"""

import pandas as pd

from asyncrl.analysis import series, staleness
from asyncrl.analysis.validity import Comparison
from asyncrl.report.figure_parts import Figure, ReportData, clock_notes, number_of_runs, paragraph
from asyncrl.report.plot_spec import FRAMES, SCORE, THREADS, Axis, PlotSpec
from asyncrl.report.setting_figures import build_setting_figures
from asyncrl.text import score

TIME_UNITS = (("hours", 1), ("minutes", 60), ("seconds", 3600))
MIN_UNITS = 2.0  # length of the longest run in a unit, for the unit to be used
MORE_THREADS = "for n in 1 2 4; do asyncrl run --algo a3c --env pong --threads $n --frames 10M; done"
TWO_GAMES = "asyncrl run --env pong; asyncrl run --env breakout    # these have reference scores"
BAND = "the band is the 95 % bootstrap interval of the mean over runs; a single run has none"


def build_figures(comparison: Comparison, data: ReportData) -> list[Figure]:
    """Return every figure of a report, including those without data."""
    return [
        _learning_curves(comparison, "frames"),
        _learning_curves(comparison, "hours"),
        *build_setting_figures(comparison, data),
        _curves_by_threads(comparison, "frames"),
        _curves_by_threads(comparison, "hours"),
        _speedup(comparison, data),
        _frames_per_second(comparison, data),
        _policy_lag(comparison),
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
        f"Mean score of the evaluations during training, against {unit}; one line per method, {number_of_runs(data)}. "
        "A line averages runs over the stretch that all of them cover (runs without a common stretch have a line "
        f"each), and {BAND}. {limits}{best}"
    )
    command = "asyncrl run --algo a3c --env pong --threads 2 --frames 10M    # then --algo n-step-q, and other seeds"
    data, axis = _with_time_unit(data, unit)
    spec = PlotSpec(axis, SCORE)
    return Figure(f"score-{unit}", f"Score against {unit}", data, spec, paragraph(text, comparison, data), command)


def _with_time_unit(data: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, Axis]:
    """Return a series and its x axis; hours become minutes or seconds if all runs are short."""
    if unit == "frames":
        return data, FRAMES
    longest = 0.0 if data.empty else data["x"].max()
    unit, per_hour = next((each for each in TIME_UNITS if longest * each[1] >= MIN_UNITS), TIME_UNITS[-1])
    return data.assign(x=data["x"] * per_hour), Axis(f"{unit} of training")


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
        f"Score against {unit} for each number of threads, {number_of_runs(data)} (the paper's figure {number}); "
        f"{BAND}. {limits} With more than {series.BEST_RATES} learning rates, only runs of the best "
        f"{series.BEST_RATES} count, as in the paper.{clock_notes(comparison)}"
    )
    data, axis = _with_time_unit(data, unit)
    spec = PlotSpec(axis, SCORE)
    return Figure(f"threads-{unit}", title, data, spec, paragraph(text, comparison, data), MORE_THREADS)


def _speedup(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.speedup_by_threads(tables.speedup)
    scores = "; ".join(f"{score(value)} on {task}" for task, value in sorted(tables.references.items()))
    text = (
        "Time of one thread to a fixed score divided by that of n threads, averaged over games (dashed: the paper's "
        f"Table 2, seven games on 16 cores). The scores to reach: {scores}. Time is the median over runs; a run that "
        "never reached the score counts as infinite, and there is no point if half of the runs did not reach it. The "
        "bar is a 95 % bootstrap interval over runs; it is left out where an end is infinite. Speed-ups cannot be "
        "compared with the paper for more threads than cores: such threads share cores."
        f"{clock_notes(comparison)}"
    )
    spec = PlotSpec(THREADS, Axis("speed-up over one thread"), "both")
    return Figure("speed-up", "Speed-up by threads", data, spec, paragraph(text, comparison, data), MORE_THREADS)


def _frames_per_second(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.frames_per_second(tables.runs)
    text = (
        f"Frames per second of training, without evaluations: the median over runs, {number_of_runs(data)}; the bar "
        "spans from the slowest to the fastest run. It shows the throughput of the machine with more threads. It "
        "cannot show learning: less may be learned from each of more frames. Several environments per thread also "
        f"change the algorithm slightly.{clock_notes(comparison)}"
    )
    command = "asyncrl run --env pong --threads 2 --frames 1M"
    spec = PlotSpec(THREADS, Axis("frames per second", "frames"), "both")
    return Figure("frames-per-second", "Frames per second", data, spec, paragraph(text, comparison, data), command)


def _policy_lag(comparison: Comparison) -> Figure:
    data = staleness.lag_by_threads(comparison)
    text = (
        f"Policy lag: updates by other workers while a gradient was computed. The median over runs, "
        f"{number_of_runs(data)}; the bar spans from the lowest to the highest run. N workers that never wait have a "
        f"lag of up to N − 1. It cannot show whether a lag harms learning.{clock_notes(comparison)}"
    )
    spec = PlotSpec(THREADS, Axis("policy lag in updates"), "both")
    return Figure("threads-lag", "Policy lag by threads", data, spec, paragraph(text, comparison, data), MORE_THREADS)


def _optimizers(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.scores_by_optimizer(tables.runs)
    text = (
        "Final scores of the runs of each optimiser, in descending order (the paper's figure S5: 50 runs each, with "
        "random learning rates). A curve that stays high longer is less sensitive to learning rate and seed. "
        "Optimisers with different numbers of runs cannot be compared at the same rank."
    )
    command = "for o in shared-rmsprop rmsprop momentum; do asyncrl run --env pong --set optimizer.name=$o; done"
    spec = PlotSpec(Axis("rank of the run by final score", "counts"), Axis("final score"), "both")
    return Figure("optimisers", "Optimisers", data, spec, paragraph(text, comparison, data), command)


def _aggregates(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.aggregate_intervals(tables.summary)
    text = (
        f"Normalised final scores over all games of a method, in %, {number_of_runs(data)}, with 95 % bootstrap "
        "intervals, stratified by game (Agarwal et al. 2021). IQM is the mean of the middle half of the runs; the "
        "median and the mean are over games; the optimality gap is the mean shortfall from 100 %, so less is better. "
        "An interval is missing if a game has one run. Methods with different games cannot be compared."
    )
    spec = PlotSpec(Axis("normalised score (%)"), Axis("", "names"), "intervals")
    return Figure("aggregates", "Aggregates over games", data, spec, paragraph(text, comparison, data), TWO_GAMES)


def _profiles(comparison: Comparison, tables: ReportData) -> Figure:
    data = series.performance_profiles(tables.runs)
    text = (
        f"The fraction of runs with a final score above each normalised score, {number_of_runs(data)}, all "
        "games with equal weight (performance profiles, Agarwal et al. 2021). If one line is above another "
        "everywhere, its method is better; if lines cross, the order depends on the score. It cannot show the game of "
        "a run."
    )
    spec = PlotSpec(Axis("normalised score (%)"), Axis("fraction of runs above"))
    return Figure("profiles", "Performance profiles", data, spec, paragraph(text, comparison, data), TWO_GAMES)


def _training_statistics(comparison: Comparison) -> Figure:
    data = series.training_statistics(comparison)
    text = (
        f"Statistics of training: means over the updates of a logging interval, {number_of_runs(data)}. Entropy near "
        "0: the policy is nearly deterministic. Mean Q or value that grows without limit: divergence. Gradient norm at "
        "the clipping threshold: gradients are clipped. Policy lag: updates by other workers while a gradient was "
        "computed. It can help to explain a score; it cannot replace one."
    )
    command = "asyncrl run --env pong --threads 2"
    spec = PlotSpec(FRAMES, Axis("mean of a logging interval"))
    return Figure("health", "Training statistics", data, spec, paragraph(text, comparison, data), command)
