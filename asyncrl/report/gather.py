"""Step "gather" of a report: loads and validates runs, computes scores and tables, and collects them in a ``Report``.

It runs the pipeline load → select → validity → scores and tables → figures and sections. ``publish`` writes the result.
"""

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, NamedTuple

import pandas as pd

from asyncrl.analysis import reference_data, scores, speed, tables, validity
from asyncrl.analysis.export import empty_selection_message
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.analysis.validity import Comparison
from asyncrl.analysis.varying import value_key
from asyncrl.errors import InputError, nearest
from asyncrl.report import figures, sections
from asyncrl.report.figure_parts import ReportData
from asyncrl.report.search import build_searches
from asyncrl.report.sections import Section
from asyncrl.text import counted

METRIC_ROWS = 200  # per run, after downsampling: a figure shows no more
SHOWN_RUNS = 5  # with scores that no statistic can use, named at the top of the page
PACKAGES = ("asyncrl", "pandas", "pyarrow", "seaborn", "matplotlib", "jinja2")


@dataclass(frozen=True)
class Request:
    """The arguments of a report."""

    selection: Selection
    out: Path
    references: tuple[str, ...] = ()  # scores to reach, such as "pong=-15"
    unfinished: bool = False  # whether unfinished runs count too
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def command(self) -> str:
        """Return the command line that repeats this report."""
        words = ["asyncrl report", self.selection.arguments]
        words += [shlex.join(["--reference", each]) for each in self.references]
        words += ["--unfinished"] if self.unfinished else []
        return " ".join([*filter(None, words), f"--out {shlex.quote(str(self.out))}"])


class Report(NamedTuple):
    """The content of a report, independent of its file formats."""

    request: Request
    comparison: Comparison
    runs: pd.DataFrame  # scores.run_scores
    sections: list[Section]
    provenance: dict[str, str]  # how the report and its runs were made, by name
    notes: list[str]  # warnings to read before any number


def gather(request: Request) -> Report:
    """Load runs and build every section.

    Raises:
        InputError: no run is selected, or a name, a condition or a reference score is invalid.
    """
    store = load(request.selection, ("evaluations", "metrics"), max_metric_rows=METRIC_ROWS)
    if store.runs.empty and store.problems.empty:
        raise InputError(empty_selection_message(request.selection))
    comparison = validity.build_comparison(store, request.unfinished)
    runs = scores.run_scores(comparison)
    references = scores.default_reference_scores(comparison) | _parse_references(request, comparison)
    by_game = speed.by_game(comparison, references)
    data = ReportData(runs, tables.summary(runs), speed.speedup(by_game), references)
    by_name = {figure.name: figure for figure in figures.build_figures(comparison, data)}
    found = sections.build_sections(comparison, data, by_game, by_name)
    searches, not_shown = build_searches(request.selection)
    notes = _notes(comparison, runs) + not_shown
    return Report(request, comparison, runs, [*searches, *found], _provenance(request, comparison), notes)


def _parse_references(request: Request, comparison: Comparison) -> dict[str, float]:
    """Parse arguments such as ``pong=-15``; return the score to reach for every task of that game."""
    found: dict[str, float] = {}
    known = dict(zip(comparison.runs["task"], comparison.runs["game"], strict=True))
    for text in request.references:
        game, _, value = text.rpartition("=")
        names = [task for task, name in known.items() if game == task or reference_data.game(game) == name]
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?(e\d+)?", value) or not game:
            raise InputError(f"--reference takes GAME=SCORE, such as pong=-15; got {text!r}.")
        if not names:
            games = sorted(set(known.values()))
            raise InputError(
                f"--reference {text}: no run has game {game!r}; games: {', '.join(games)}.{nearest(game, games)}"
            )
        found |= dict.fromkeys(names, float(value))
    return found


def _provenance(request: Request, comparison: Comparison) -> dict[str, str]:
    used = comparison.runs
    made_by = {name: sorted(set(used[name].dropna().astype(str))) for name in ("asyncrl", "torch", "python")}
    commits = sorted({str(commit)[:8] for commit in used["commit"].dropna()})
    selection = request.selection
    sets = [text for text in (selection.where, *selection.compare) if text]
    return {
        "Command": request.command,
        "Selection": "; ".join([*selection.names, *sets]) or "all runs",
        "Runs": f"{len(comparison.all_runs)} in the selection, {len(used)} used",
        "Results": str(selection.results),
        "Machines": "; ".join(sorted(set(used["machine"]))) or "none: no run is used",
        "Runs made with": ", ".join(f"{name} {' or '.join(known)}" for name, known in made_by.items() if known)
        or "none: no run is used",
        "Commits": ", ".join(commits) or "none: no run is used",
        "Report made": f"{request.created:%Y-%m-%d %H:%M} UTC",
        "Report made with": f"python {python_version()}, {_versions()}",
    }


def _versions() -> str:
    found = []
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def _notes(comparison: Comparison, runs: pd.DataFrame) -> list[str]:
    """Return the warnings to read before any number."""
    notes = []
    if comparison.is_provisional and len(comparison.runs):
        notes.append("No run of the selection has finished: all numbers are preliminary.")
    for game, group in comparison.runs.groupby("game"):
        if group["protocol"].nunique() > 1:
            names = ", ".join(sorted(set(group["protocol"].astype(str))))
            notes.append(f"{game} has runs with several protocols: {names}. Their scores cannot be compared.")
    notes += _averaged_settings(comparison)
    atari = runs[runs["protocol"].astype(str).str.startswith("atari") & runs["percent"].isna()]
    for game, protocol in sorted(set(zip(atari["game"], atari["protocol"], strict=True))):
        notes.append(
            f"{game} ({protocol}) has no published references, so its scores are excluded from every mean over games."
        )
    unusable = comparison.problems[comparison.problems["kind"] == validity.SCORES]
    notes += [f"{run} is {text}." for run, text in unusable[["run", "text"]].head(SHOWN_RUNS).itertuples(index=False)]
    if len(unusable) > SHOWN_RUNS:
        notes.append(f"So are {counted(len(unusable) - SHOWN_RUNS, 'more run')}, listed at the end of the page.")
    excluded = comparison.problems[
        comparison.problems["kind"].isin(("units", "protocol", "seeds", "clock", "damaged", "rows", "not finite"))
    ]
    if len(excluded):
        notes.append(f"Excluded or damaged: {counted(len(excluded), 'item')}, listed at the end of the page.")
    return notes


def _averaged_settings(comparison: Comparison) -> list[str]:
    """Return the note on the settings in which runs of one label differ."""
    names = sorted(comparison.varying.axes)
    if comparison.runs["set"].notna().any():
        return [f"Runs of a set differ in more than their seed: in {', '.join(names)}."] if names else []
    keys = comparison.varying.values[names].map(value_key).nunique()
    known = ", ".join(f"{name} ({counted(int(keys[name]), 'value')})" for name in names)
    text = f"A label does not name {known}, of which most runs have a value of their own: means and lines are over "
    return (
        [f"{text}runs with different values, and figures of final score against a setting show each."] if names else []
    )


def terminal_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row per run for a terminal, sorted by task and final score: id, label, scores, curve, status."""
    table = report.runs.sort_values(["task", "final"], ascending=[True, False])
    means = dict(list(report.comparison.evaluations.groupby("run")["mean"]))
    status = report.comparison.runs["status"]
    return [
        {"id": run, "task": row["task"], "label": row["label"], "final": row["final"], "best": row["best"]}
        | {"curve": list(means[run]), "status": status[run]}
        for run, row in table.iterrows()
    ]
