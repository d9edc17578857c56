"""Step "sections" of a report: puts figures and tables in order, and describes each table in one paragraph."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from asyncrl.analysis import series, tables
from asyncrl.analysis.validity import Comparison
from asyncrl.report import columns
from asyncrl.report.columns import ReportTable, build_table
from asyncrl.report.figure_parts import Figure, ReportData, SearchFigure, clock_notes, few_runs_warning
from asyncrl.report.figures import MORE_THREADS, TWO_GAMES
from asyncrl.report.setting_figures import BY_SETTING

ORDER = (  # names of a table and of a figure
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
    (None, "threads-lag"),
    (None, "learning-rates"),
    (None, BY_SETTING),  # all figures whose names begin so
    ("best", None),
    (None, "optimisers"),
    (None, "health"),
    ("runs", None),
    ("problems", None),
)


class Section(NamedTuple):
    """A part of a report: a figure or the plots of a search, a table, or both."""

    name: str
    title: str
    figure: Figure | None = None
    table: ReportTable | None = None
    search: SearchFigure | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether there are no runs for it."""
        return not ((self.figure and not self.figure.data.empty) or (self.table and self.table.rows))


def build_sections(
    comparison: Comparison, data: ReportData, by_game: pd.DataFrame, figures: Mapping[str, Figure]
) -> list[Section]:
    """Return every section in order, those without runs of their kind last.

    Args:
        comparison: the runs that may be compared.
        data: tables that figures and sections share.
        by_game: ``speed.by_game``.
        figures: all figures by name.
    """
    report_tables = _build_tables(comparison, data, by_game)
    sections = []
    for table_name, figure_name in ORDER:
        if figure_name == BY_SETTING:
            found = [figure for name, figure in figures.items() if name.startswith(BY_SETTING)]
            sections += [Section(figure.name, figure.title, figure) for figure in found]
            continue
        table, figure = report_tables.get(table_name or ""), figures.get(figure_name or "")
        if first := table or figure:
            sections.append(Section(first.name, first.title, figure, table))
    return sorted(sections, key=lambda section: section.is_empty)


def _build_tables(comparison: Comparison, data: ReportData, by_game: pd.DataFrame) -> dict[str, ReportTable]:
    overview, games = tables.overview(data.runs), tables.per_game(data.runs)
    improvements, best = tables.improvements(data.runs), tables.best_run_scores(data.runs)
    wide, wide_columns = columns.speedup_by_threads(data.speedup)
    # published rows alone are no section
    summary = data.summary if (data.summary["made"] == "here").any() else data.summary.iloc[:0]
    wide = wide.iloc[:0] if data.speedup["variant"].str.startswith("paper: ").all() else wide
    reaching = _with_warning(REACHING, by_game) + clock_notes(comparison)
    found = [
        build_table("overview", "Overview", _with_warning(OVERVIEW, overview), overview, columns.OVERVIEW, RUN),
        build_table("games", "Scores by game, beside published ones", _with_warning(GAMES, games), games,
                    columns.per_game_columns(games), RUN),
        build_table("summary", "Summary over games", SUMMARY, summary, columns.SUMMARY, TWO_GAMES),
        build_table("improvement", "Probability of improvement", IMPROVEMENT, improvements, columns.IMPROVEMENTS,
                    "asyncrl run --algo n-step-q    # a second method on the same game"),
        build_table("speed-ups", "Speed-up by threads", SPEEDUP + clock_notes(comparison), wide, wide_columns,
                    MORE_THREADS)._replace(data=data.speedup),
        build_table("reaching", "Time and frames to a score", reaching, by_game.drop(columns="resampled"),
                    columns.SPEED, RUN),
        build_table("best", "Best of many runs", BEST, best, columns.BEST,
                    f"for s in $(seq {series.MIN_RUNS_FOR_BEST}); do asyncrl run --env pong --seed $s; done"),
        build_table("runs", "Runs", INVENTORY, tables.inventory(comparison), columns.INVENTORY, RUN),
    ]  # fmt: skip
    if len(comparison.problems):
        found.append(build_table("problems", "Excluded runs and rows", PROBLEMS, comparison.problems, columns.PROBLEMS))
    return {table.name: table for table in found}


def _with_warning(text: str, data: pd.DataFrame) -> str:
    """Append the warning that there are few runs, if there are."""
    return " ".join([text, *few_runs_warning(data["runs"])])


RUN = "asyncrl run --env pong --threads 2"
OVERVIEW = (
    "One row for each game and method. The final score is the mean over runs of the last evaluation during training, "
    "with a 95 % bootstrap interval over runs; a single run has no interval. The best score is the highest of all "
    "evaluations of a run: it is biased upwards, and more so the more evaluations there are. The mean over training is "
    "the area under the learning curve divided by its frames."
)
GAMES = (
    "The title of each published column gives how its episodes start. Scores with human starts cannot be compared with "
    "ours: those start states were never published. Scores with no-op starts can be compared only with our runs whose "
    "protocol has -noop in its name: their episodes begin with up to 30 no-ops, too. The normalised score is 100 × "
    "(score − random) ÷ (reference − random), with references of the same kind of start: a human on Atari, and DQN "
    "after 5 million frames as published on MinAtar (-v0 only). The published agents with no-op starts were trained "
    "for 320 million frames; columns of MinAtar name theirs."
)
SUMMARY = (
    "The form of the paper's Table 1. Means and medians are over games. Our rows, and the rows of published agents "
    "with the same starts, are over games of this report; compare two rows only if their games are the same. The rows "
    "as printed in the paper are over 57 games with human starts, and cannot be compared with the other rows. The "
    "printed means can be reproduced only if Video Pinball, where the human of that protocol scored less than random "
    "play, is computed as score ÷ human."
)
IMPROVEMENT = (
    "The probability that a run of the first method ends with a higher score than a run of the second on the same "
    "game; a tie counts half; averaged over games (Mann and Whitney's U; Agarwal et al. 2021). 0.5 means no difference."
)
SPEEDUP = (
    "The form of the paper's Table 2: the time of one thread to a fixed score divided by that of n threads, averaged "
    "over games, with a 95 % bootstrap interval over runs. A number in round brackets means that a cell averages fewer "
    "games than its row lists, so that the cells of the row are not over the same games. The paper's values are over "
    "seven games on 16 cores; ours are from the machine in the last column."
)
REACHING = (
    "The median over runs of the time and frames to the score, interpolated linearly between evaluations, with 95 % "
    "bootstrap intervals over runs. A run that never reached the score counts as infinite; where half of the runs or "
    "more never reached it, > and the shortest of these runs stand in place of the median. If half of the runs had the "
    "score at their first evaluation, the speed-up is missing, since the exact time is unknown. Without --reference, "
    "the score is one that shows learning: the highest that more than half of the runs of every method and thread "
    "count reached, without those that did not come halfway from the first evaluations to the best such score."
)
BEST = (
    "The paper's selections of runs: the mean of the best five of n runs by final score, and the mean of the runs with "
    "the best three learning rates. Both are biased upwards, since runs are selected by the score that is reported."
)
INVENTORY = (
    "Every run of the selection: its settings, its machine, its duration, and whether its numbers are used in this "
    "report. Time is training time."
)
PROBLEMS = "Runs and rows that are excluded from the numbers above, in whole or in part, and the reason."
