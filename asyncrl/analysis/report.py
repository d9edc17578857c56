"""A report: what the runs of a selection come to, gathered once and written as a page, as text and as files."""

import platform
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from asyncrl.analysis import checks, figures, scores, series, tables, views
from asyncrl.analysis.checks import Study
from asyncrl.analysis.export import nothing_selected
from asyncrl.analysis.figures import Figure, Tables
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.analysis.views import View
from asyncrl.errors import InputError
from asyncrl.store import provenance

THIN = 200  # rows of metrics a run: a figure is not wider
PACKAGES = ("pandas", "pyarrow", "scipy", "seaborn", "matplotlib", "jinja2")


@dataclass(frozen=True)
class Request:
    """What a person asked for."""

    selection: Selection
    out: Path
    references: tuple[str, ...] = ()  # scores to reach, each "pong=-15"
    unfinished: bool = False  # whether runs that have not finished count, too
    made: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def command(self) -> str:
        """Return the command line that makes this report again."""
        words = ["asyncrl report", self.selection.arguments]
        words += [shlex.join(["--reference", each]) for each in self.references]
        words += ["--unfinished"] if self.unfinished else []
        return " ".join([*filter(None, words), f"--out {shlex.quote(str(self.out))}"])


class Section(NamedTuple):
    """A part of a report: a figure, a table, or both."""

    name: str
    title: str
    figure: Figure | None = None
    table: View | None = None


class Report(NamedTuple):
    """Everything that the page, the text and the files are made of."""

    request: Request
    study: Study
    runs: pd.DataFrame  # scores.of_runs
    sections: list[Section]
    facts: dict[str, str]  # what made it, by name
    notes: list[str]  # what a reader has to know first


def gather(request: Request) -> Report:
    """Read a store and work out every section.

    Raises:
        InputError: nothing is selected, or a name, a condition or a reference score is none.
    """
    store = load(request.selection, ("evaluations", "metrics"), thin=THIN)
    if store.runs.empty and store.problems.empty:
        raise InputError(nothing_selected(request.selection))
    study = checks.study(store, request.unfinished)
    runs = scores.of_runs(study)
    references = scores.common_references(study) | _references(request, study)
    by_game = tables.speed_by_game(study, references)
    made = Tables(runs, tables.summary(runs), tables.speedup(by_game), references)
    drawn = {figure.name: figure for figure in figures.figures(study, made)}
    sections = _sections(study, made, by_game, drawn)
    return Report(request, study, runs, sections, _facts(request, study), _notes(study, runs))


def _references(request: Request, study: Study) -> dict[str, float]:
    """Read ``pong=-15``: a score for every task of that game."""
    found: dict[str, float] = {}
    known = dict(zip(study.runs["task"], study.runs["game"], strict=True))
    for text in request.references:
        game, _, value = text.rpartition("=")
        names = [task for task, name in known.items() if game in (task, name)]
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?(e\d+)?", value) or not game:
            raise InputError(f"--reference takes GAME=SCORE, such as pong=-15; got {text!r}.")
        if not names:
            raise InputError(
                f"--reference {text}: no run plays {game!r}; there are {', '.join(sorted(set(known.values())))}."
            )
        found |= dict.fromkeys(names, float(value))
    return found


def _sections(study: Study, made: Tables, by_game: pd.DataFrame, drawn: Mapping[str, Figure]) -> list[Section]:
    shown = _tables(study, made, by_game)
    parts = [
        ("overview", None),
        (None, "score-frames"),
        (None, "score-hours"),
        ("games", None),
        ("summary", "aggregates"),
        (None, "profiles"),
        ("improvement", None),
        ("speed-up", "speed-up"),
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
    wide, columns = views.wide_speedup(made.speedup)
    found = [
        views.view("overview", "At a glance", OVERVIEW, overview, views.OVERVIEW, RUN),
        views.view("games", "Scores by game, beside published ones", GAMES, games, views.per_game_columns(games), RUN),
        views.view("summary", "Summary over games", SUMMARY, made.summary, views.SUMMARY),
        views.view("improvement", "Probability of improvement", IMPROVEMENT, tables.improvements(made.runs),
                   views.IMPROVEMENTS, "asyncrl run --algo n-step-q    # a second method on the same game"),
        views.view("speed-up", "Speed-up by threads", SPEEDUP, wide, columns),
        views.view("reaching", "Time and frames to a score", REACHING, by_game, views.SPEED, RUN),
        views.view("best", "The best of many", BEST, tables.best_of(made.runs), views.BEST,
                   f"for s in $(seq {series.OF}); do asyncrl run --env pong --seed $s; done"),
        views.view("runs", "Runs", INVENTORY, tables.inventory(study), views.INVENTORY, RUN),
    ]  # fmt: skip
    if len(study.problems):
        found.append(views.view("problems", "What was left out, and why", PROBLEMS, study.problems, views.PROBLEMS))
    return {view.name: view for view in found}


RUN = "asyncrl run --env pong --threads 2"
OVERVIEW = (
    "One row for each game and method. The final score is the mean over runs of the last evaluation that each made "
    "while training, with a 95 % bootstrap interval over runs, of which a single run has none. The best score is the "
    "highest of all evaluations of a run: it is biased upwards, the more so the more evaluations there are. The mean "
    "over training is the area under the curve divided by its frames."
)
GAMES = (
    "Each column says how its games start. Scores by human starts cannot be compared with ours, which begin after "
    "up to 30 no-ops: the human starts were never published. The per cent of a human are 100 × (score − random) ÷ "
    "(human − random), with the references of the same starts. The published agents by no-op starts were trained for "
    "320 million frames."
)
SUMMARY = (
    "The form of the paper's Table 1. Means and medians are over games. Ours, and the published agents by no-op "
    "starts, are over the games of this report, so that they can be compared with each other; the printed rows are "
    "over 57 games by human starts, and can be compared with neither. The printed means hold only if Video Pinball, "
    "where the human of that protocol scored less than random play, is entered as score ÷ human."
)
IMPROVEMENT = (
    "How probable it is that a run of the first method ends above a run of the second on the same game, a tie "
    "counting half, averaged over games (Mann and Whitney's U; Agarwal et al. 2021). One half is no difference."
)
SPEEDUP = (
    "The form of the paper's Table 2: the time of one thread to a fixed score divided by that of n threads, averaged "
    "over games. The paper's are over seven games on 16 cores; ours are on the machine that is named."
)
REACHING = (
    "When half of the runs had reached the score, by a straight line between evaluations. A run that never reached it "
    "counts as taking for ever; a score reached at the first evaluation is an upper bound. Unless --reference says "
    "otherwise, it is the highest score that at least half of the runs of every method and thread count reached."
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


def _facts(request: Request, study: Study) -> dict[str, str]:
    used = study.runs
    made_by = {name: sorted(set(used[name].dropna().astype(str))) for name in ("asyncrl", "torch", "python")}
    commits = sorted({str(commit)[:8] for commit in used["commit"].dropna()})
    versions = provenance.versions(*PACKAGES)
    selection = request.selection
    sets = [text for text in (selection.where, *selection.compare) if text]
    return {
        "Command": request.command,
        "Selection": "; ".join([*selection.names, *sets]) or "all runs",
        "Runs": f"{len(study.everything)} in the selection, {len(used)} used",
        "Results": str(selection.results),
        "Made on": "; ".join(sorted(set(used["machine"]))) or "–",
        "Runs made with": ", ".join(f"{name} {' or '.join(known)}" for name, known in made_by.items() if known) or "–",
        "Commits": ", ".join(commits) or "–",
        "Report made": f"{request.made:%Y-%m-%d %H:%M} UTC",
        "Report made with": ", ".join(
            f"{name} {versions[name]}" for name in ("asyncrl", "python", *PACKAGES) if versions[name]
        )
        or platform.python_version(),
    }


def _notes(study: Study, runs: pd.DataFrame) -> list[str]:
    """Return what a reader has to know before any number."""
    notes = []
    if study.is_provisional and len(study.runs):
        notes.append("No run of the selection has finished: every number is of the moment.")
    if len(study.runs) and study.runs["protocol"].nunique() > 1:
        names = ", ".join(sorted(set(study.runs["protocol"].astype(str))))
        notes.append(f"There are several protocols ({names}). Their scores are kept apart, and cannot be compared.")
    atari = runs[runs["protocol"].astype(str).str.startswith("atari") & runs["percent"].isna()]
    for game, protocol in sorted(set(zip(atari["game"], atari["protocol"], strict=True))):
        notes.append(f"{game} ({protocol}) has no published references, so its scores are in no mean over games.")
    left_out = study.problems[study.problems["kind"].isin(("units", "protocol", "seeds", "clock", "damaged", "rows"))]
    if len(left_out):
        notes.append(f"{len(left_out)} things were left out or are damaged: see the end.")
    return notes


def lines(report: Report) -> list[dict[str, Any]]:
    """Return a line a run for a terminal, the best final score of each task first: id, label, scores, curve."""
    table = report.runs.sort_values(["task", "final"], ascending=[True, False])
    means = dict(list(report.study.evaluations.groupby("run")["mean"]))
    status = report.study.runs["status"]
    return [
        {"id": run, "task": row["task"], "label": row["label"], "final": row["final"], "best": row["best"]}
        | {"curve": list(means[run]), "status": status[run]}
        for run, row in table.iterrows()
    ]
