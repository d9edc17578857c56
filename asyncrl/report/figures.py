"""The figures of a report: what is drawn, how, what it shows and what it cannot."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from asyncrl.analysis import series
from asyncrl.analysis.validity import Study
from asyncrl.text import score

FEW = 5  # runs a line, below which an order of lines may be chance
CLOCKS, ENOUGH = (("hours", 1), ("minutes", 60), ("seconds", 3600)), 2.0  # of a unit, for it to be used


class Axis(NamedTuple):
    """What stands along one side."""

    label: str
    kind: str = "linear"  # "linear", "log", "counts" (whole numbers), "frames" (10M) or "names" (one a series)


class Picture(NamedTuple):
    """How a table of series is drawn."""

    x: Axis
    y: Axis
    marks: str = "lines"  # "lines" with bands, "points", "both", or "intervals" along x


FRAMES, SCORE = Axis("frames", "frames"), Axis("mean score of an evaluation")
THREADS = Axis("threads", "counts")


class Figure(NamedTuple):
    """One figure; where its data are empty it says what would make them."""

    name: str  # of its files
    title: str
    data: pd.DataFrame  # as in ``series``
    picture: Picture
    text: str  # a plain paragraph
    command: str  # that would make its runs


class Tables(NamedTuple):
    """What figures are made of besides the study."""

    runs: pd.DataFrame  # scores.of_runs
    summary: pd.DataFrame
    speedup: pd.DataFrame
    references: Mapping[str, float]


def figures(study: Study, tables: Tables) -> list[Figure]:
    """Return every figure of a report, those without data too."""
    return [
        _learning(study, "frames"),
        _learning(study, "hours"),
        _rates(study, tables),
        _by_threads(study, "frames"),
        _by_threads(study, "hours"),
        _speedup(study, tables),
        _frames_per_second(study, tables),
        _optimizers(study, tables),
        _aggregates(study, tables),
        _profiles(study, tables),
        _health(study),
    ]


def _learning(study: Study, unit: str) -> Figure:
    data = series.learning(study, unit)
    what = {
        "frames": "It shows what a method makes of the same number of frames. It cannot show which is faster on a "
        "clock: the next figure does.",
        "hours": "It shows which method gets where in the same time, on these machines. It cannot tell of "
        "others: hours depend on processors, cores and what else ran. Seconds are those of training; the clock "
        "stands still during evaluations.",
    }[unit]
    best = (
        f" Dotted lines average the best {series.BEST} runs by final score, as the paper's figure 1 does with 50; they "
        "are biased upwards."
    )
    best = best if data["statistic"].str.contains("best").any() else ""
    text = (
        f"Mean score of the evaluations made while training, against {unit}; one line a method, {_runs(data)}. The "
        f"line averages runs where all of them are (runs without a common stretch stand alone), and "
        f"{BAND}. {what}{best}"
    )
    command = "asyncrl run --algo a3c --env pong --threads 2 --frames 10M    # then --algo n-step-q, and other seeds"
    data, axis = _along(data, unit)
    title = f"Score against {unit}"
    return Figure(f"score-{unit}", title, data, Picture(axis, SCORE), _closed(text, study, data), command)


MORE_THREADS = "for n in 1 2 4; do asyncrl run --algo a3c --env pong --threads $n --frames 10M; done"
TWO_GAMES = "asyncrl run --env pong; asyncrl run --env breakout    # Atari games have human scores to be held against"
BAND = "the band holds the middle 95 % of the means of runs drawn again (bootstrap); a single run has none"


def _along(data: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, Axis]:
    """Return a series along frames, or along hours, or minutes or seconds where all are short."""
    if unit == "frames":
        return data, FRAMES
    longest = 0.0 if data.empty else data["x"].max()
    unit, an_hour = next((each for each in CLOCKS if longest * each[1] >= ENOUGH), CLOCKS[-1])
    return data.assign(x=data["x"] * an_hour), Axis(f"{unit} of training")


def _rates(study: Study, tables: Tables) -> Figure:
    data = series.rates(tables.runs)
    text = (
        "Final score of each run against its learning rate, a point a run (the paper's figure 2). It shows how wide "
        "the range of rates is that work, and how much luck there is within it. It cannot show the best rate of "
        "another budget: the rate is annealed over the run."
    )
    command = "for lr in 3e-4 1e-3 3e-3; do asyncrl run --env pong --threads 2 --set optimizer.lr=$lr; done"
    picture = Picture(Axis("learning rate", "log"), Axis("final score"), "points")
    return Figure("learning-rates", "Score against learning rate", data, picture, _closed(text, study, data), command)


def _by_threads(study: Study, unit: str) -> Figure:
    data = series.by_threads(study, unit)
    number, title = (3, "Data efficiency by threads") if unit == "frames" else (4, "Training speed by threads")
    what = {
        "frames": "Where the lines lie on each other, more threads need no more frames; a line to the left learns more "
        "from each. It cannot show speed.",
        "hours": "A line to the left is faster on the clock. It cannot show why: more frames a second, or more "
        "learned from each.",
    }[unit]
    text = (
        f"Score against {unit} for each number of threads, {_runs(data)} (the paper's figure {number}); {BAND}. {what} "
        f"Where there are more than {series.RATES} learning rates, runs of the best {series.RATES} count, as in the "
        "paper."
    )
    data, axis = _along(data, unit)
    return Figure(f"threads-{unit}", title, data, Picture(axis, SCORE), _closed(text, study, data), MORE_THREADS)


def _speedup(study: Study, tables: Tables) -> Figure:
    data = series.speedup(tables.speedup)
    scores = "; ".join(f"{score(value)} on {task}" for task, value in sorted(tables.references.items()))
    text = (
        "How many times sooner n threads reach a fixed score than one thread does, by the clock, averaged over games "
        f"(the paper's Table 2, dashed: seven games on 16 cores). The scores to reach: {scores}. Time is the median "
        "over runs, one that never got there counting as infinitely long; where half of them did not, there is no "
        "point. It cannot be compared with the paper's beyond the number of cores: more threads than cores take turns."
    )
    picture = Picture(THREADS, Axis("speed-up over one thread"), "both")
    return Figure("speed-up", "Speed-up by threads", data, picture, _closed(text, study, data), MORE_THREADS)


def _frames_per_second(study: Study, tables: Tables) -> Figure:
    data = series.rates_of_frames(tables.runs)
    text = (
        f"Frames per second of training, evaluations left out: the median over runs, {_runs(data)}, the bar reaching "
        "from the slowest to the fastest. It shows what the machine does with more threads. It cannot show learning: "
        "frames made faster may teach less. With environments per thread the algorithm changes a little, too."
    )
    command = "asyncrl run --env pong --threads 2 --frames 1M"
    picture = Picture(THREADS, Axis("frames per second", "frames"), "both")
    return Figure("frames-per-second", "Frames per second", data, picture, _closed(text, study, data), command)


def _optimizers(study: Study, tables: Tables) -> Figure:
    data = series.optimizers(tables.runs)
    text = (
        "Final scores of the runs of each optimiser, the highest first (the paper's figure S5: 50 runs each, with "
        "learning rates drawn at random). A curve that stays high longer is less easily put off by its learning rate "
        "and seed. Optimisers with other numbers of runs cannot be compared at the same rank."
    )
    command = "for o in shared-rmsprop rmsprop momentum; do asyncrl run --env pong --set optimizer.name=$o; done"
    picture = Picture(Axis("runs, the best first", "counts"), Axis("final score"), "both")
    return Figure("optimisers", "Optimisers", data, picture, _closed(text, study, data), command)


def _aggregates(study: Study, tables: Tables) -> Figure:
    data = series.aggregates(tables.summary)
    text = (
        f"Human-normalised final scores over all games of a method, in %, {_runs(data)}, with 95 % bootstrap intervals "
        "over runs within their games (Agarwal et al. 2021). IQM is the mean of the middle half of runs; the median "
        "and the mean are over games; the optimality gap is what is missing to 100 % on average, so less is better. "
        "An interval is missing where a game has one run. Methods with other games cannot be compared."
    )
    picture = Picture(Axis("% of a human"), Axis("", "names"), "intervals")
    return Figure("aggregates", "Aggregates over games", data, picture, _closed(text, study, data), TWO_GAMES)


def _profiles(study: Study, tables: Tables) -> Figure:
    data = series.profiles(tables.runs)
    text = (
        f"The fraction of runs that end above each human-normalised score, {_runs(data)}, all games counting alike "
        "(performance profiles, Agarwal et al. 2021). A line above another everywhere is better everywhere; where "
        "they cross, it depends on what one wants. It cannot show which game a run belongs to."
    )
    picture = Picture(Axis("% of a human"), Axis("fraction of runs above"))
    return Figure("profiles", "Performance profiles", data, picture, _closed(text, study, data), TWO_GAMES)


def _health(study: Study) -> Figure:
    data = series.health(study)
    text = (
        f"How learning went: means over the updates of an interval, {_runs(data)}. Entropy near 0 means that a policy "
        "has settled; a mean Q or value that runs away, divergence; a gradient norm at the clip, steps that are cut; "
        "policy lag is how many updates others made while a gradient was computed. It can explain a score; it "
        "cannot replace one."
    )
    command = "asyncrl run --env pong --threads 2"
    picture = Picture(FRAMES, Axis("mean of an interval"))
    return Figure("health", "Health", data, picture, _closed(text, study, data), command)


def _runs(data: pd.DataFrame) -> str:
    """Say how many runs a series has."""
    ours = data.loc[~data["series"].astype(str).str.startswith("paper: "), "runs"].dropna()
    if ours.empty:
        return "n = 0"
    low, high = int(ours.min()), int(ours.max())
    return f"n = {low} run{'s' * (low != 1)} each" if low == high else f"n = {low} to {high} runs each"


def few(runs: pd.Series) -> list[str]:
    """Say that an order may be chance, where one of these numbers of runs is small."""
    return [f"With fewer than {FEW} runs of a method, which of two is ahead may be chance."] if runs.min() < FEW else []


def _closed(text: str, study: Study, data: pd.DataFrame) -> str:
    """Add what every figure has to say: how few runs, protocols and cores."""
    if data.empty:
        return ""
    said = [text, *few(data["runs"])]
    if study.is_provisional:
        said.append("No run has finished: this is how far they are.")
    protocols = ", ".join(sorted(set(study.runs["protocol"].astype(str))))
    machines = "; ".join(sorted(set(study.runs["machine"])))
    return " ".join([*said, f"Protocol: {protocols}. Made on: {machines}."])
