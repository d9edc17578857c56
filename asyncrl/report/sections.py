"""The sections of a report, in their order: which tables and figures, with what is to be said of each table."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from asyncrl.analysis import series, tables
from asyncrl.analysis.validity import Study
from asyncrl.report import columns
from asyncrl.report.columns import View
from asyncrl.report.figures import Figure, Tables, few


class Section(NamedTuple):
    """A part of a report: a figure, a table, or both."""

    name: str
    title: str
    figure: Figure | None = None
    table: View | None = None


def sections(study: Study, made: Tables, by_game: pd.DataFrame, drawn: Mapping[str, Figure]) -> list[Section]:
    """Return every section, those without data too."""
    shown = _tables(study, made, by_game)
    parts = [
        ("overview", None),
        (None, "score-frames"),
        (None, "score-hours"),
        ("games", None),
        ("summary", "aggregates"),
        (None, "profiles"),
        ("improvement", None),
        ("speed-ups", "speed-up"),
        ("reaching", None),
        (None, "frames-per-second"),
        (None, "threads-frames"),
        (None, "threads-hours"),
        (None, "learning-rates"),
        ("best", None),
        (None, "optimisers"),
        (None, "health"),
        ("runs", None),
        ("problems", None),
    ]
    found = []
    for table, figure in parts:
        view, picture = shown.get(table or ""), drawn.get(figure or "")
        name, title = (view.name, view.title) if view else (picture.name, picture.title) if picture else ("", "")
        if name:
            found.append(Section(name, title, picture, view))
    return found


def _tables(study: Study, made: Tables, by_game: pd.DataFrame) -> dict[str, View]:
    overview, games = tables.overview(made.runs), tables.per_game(made.runs)
    wide, shown = columns.wide_speedup(made.speedup)
    found = [
        columns.view("overview", "At a glance", _said(OVERVIEW, overview), overview, columns.OVERVIEW, RUN),
        columns.view("games", "Scores by game, beside published ones", _said(GAMES, games), games,
                   columns.per_game_columns(games), RUN),
        columns.view("summary", "Summary over games", SUMMARY, made.summary, columns.SUMMARY),
        columns.view("improvement", "Probability of improvement", IMPROVEMENT, tables.improvements(made.runs),
                   columns.IMPROVEMENTS, "asyncrl run --algo n-step-q    # a second method on the same game"),
        columns.view("speed-ups", "Speed-up by threads", SPEEDUP, wide, shown)._replace(data=made.speedup),
        columns.view("reaching", "Time and frames to a score", _said(REACHING, by_game), by_game, columns.SPEED, RUN),
        columns.view("best", "The best of many", BEST, tables.best_of(made.runs), columns.BEST,
                   f"for s in $(seq {series.OF}); do asyncrl run --env pong --seed $s; done"),
        columns.view("runs", "Runs", INVENTORY, tables.inventory(study), columns.INVENTORY, RUN),
    ]  # fmt: skip
    if len(study.problems):
        found.append(columns.view("problems", "What was left out, and why", PROBLEMS, study.problems, columns.PROBLEMS))
    return {view.name: view for view in found}


def _said(text: str, data: pd.DataFrame) -> str:
    return " ".join([text, *few(data["runs"])])


RUN = "asyncrl run --env pong --threads 2"
OVERVIEW = (
    "One row for each game and method. The final score is the mean over runs of the last evaluation that each made "
    "while training, with a 95 % bootstrap interval over runs, of which a single run has none. The best score is the "
    "highest of all evaluations of a run: it is biased upwards, the more so the more evaluations there are. The mean "
    "over training is the area under the curve divided by its frames."
)
GAMES = (
    "Each column says how its games start. Scores by human starts cannot be compared with ours: those starts were "
    "never published. Scores by no-op starts can be compared only with those of ours whose protocol ends in -noop: "
    "their games, too, begin after up to 30 no-ops. The per cent of a human are 100 × (score − random) ÷ "
    "(human − random), with the references of the same starts. The published agents by no-op starts were trained for "
    "320 million frames."
)
SUMMARY = (
    "The form of the paper's Table 1. Means and medians are over games. Ours, and the published agents by no-op "
    "starts, are over games of this report, and two rows can be compared where these are the same games. The printed "
    "rows are over 57 games by human starts, and can be compared with neither. The printed means hold only if Video "
    "Pinball, where the human of that protocol scored less than random play, is entered as score ÷ human."
)
IMPROVEMENT = (
    "How probable it is that a run of the first method ends above a run of the second on the same game, a tie "
    "counting half, averaged over games (Mann and Whitney's U; Agarwal et al. 2021). One half is no difference."
)
SPEEDUP = (
    "The form of the paper's Table 2: the time of one thread to a fixed score divided by that of n threads, averaged "
    "over games; where they are fewer than the row has, their number stands in brackets, and the cells of the row are "
    "of different games. The paper's are over seven games on 16 cores; ours are on the machine that is named."
)
REACHING = (
    "The median over runs of when they reached the score, by a straight line between evaluations. A run that never "
    "reached it counts as taking for ever, so that there is no time where half of them or more never did; where half "
    "of them were there at their first evaluation, there is no speed-up, since nobody saw when. Unless --reference "
    "says otherwise, it is the highest score that more than half of the runs of every method and thread count reached."
)
BEST = (
    "The paper's way of choosing, under its own name: the mean of the best five of n runs by final score, and the mean "
    "of the runs with the best three learning rates. Both are biased upwards, since what is chosen is what is shown."
)
INVENTORY = (
    "Every run of the selection: what it was, what it ran on, how long it took, and whether its numbers are used here. "
    "Time is that of training."
)
PROBLEMS = "Runs and rows that are not in the numbers above, or only in part."
