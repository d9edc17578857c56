"""A report: what the runs of a selection come to, gathered once and written as a page, as text and as files."""

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

from asyncrl.analysis import reference_data, scores, tables, validity
from asyncrl.analysis.export import nothing_selected
from asyncrl.analysis.labels import pooled
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.analysis.validity import Study
from asyncrl.errors import InputError, nearest
from asyncrl.report import figures, sections
from asyncrl.report.figures import Tables
from asyncrl.report.sections import Section
from asyncrl.text import counted

THIN = 200  # rows of metrics a run: a figure is not wider
PACKAGES = ("asyncrl", "pandas", "pyarrow", "seaborn", "matplotlib", "jinja2")


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
    study = validity.study(store, request.unfinished)
    runs = scores.of_runs(study)
    references = scores.common_references(study) | _references(request, study)
    by_game = tables.speed_by_game(study, references)
    made = Tables(runs, tables.summary(runs), tables.speedup(by_game), references)
    drawn = {figure.name: figure for figure in figures.figures(study, made)}
    found = sections.sections(study, made, by_game, drawn)
    return Report(request, study, runs, found, _facts(request, study), _notes(study, runs))


def _references(request: Request, study: Study) -> dict[str, float]:
    """Read ``pong=-15``: a score for every task of that game."""
    found: dict[str, float] = {}
    known = dict(zip(study.runs["task"], study.runs["game"], strict=True))
    for text in request.references:
        game, _, value = text.rpartition("=")
        names = [task for task, name in known.items() if game == task or reference_data.game(game) == name]
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?(e\d+)?", value) or not game:
            raise InputError(f"--reference takes GAME=SCORE, such as pong=-15; got {text!r}.")
        if not names:
            games = sorted(set(known.values()))
            raise InputError(
                f"--reference {text}: no run plays {game!r}; there are {', '.join(games)}.{nearest(game, games)}"
            )
        found |= dict.fromkeys(names, float(value))
    return found


def _facts(request: Request, study: Study) -> dict[str, str]:
    used = study.runs
    made_by = {name: sorted(set(used[name].dropna().astype(str))) for name in ("asyncrl", "torch", "python")}
    commits = sorted({str(commit)[:8] for commit in used["commit"].dropna()})
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
        "Report made with": f"python {python_version()}, {_versions()}",
    }


def _versions() -> str:
    found = []
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def _notes(study: Study, runs: pd.DataFrame) -> list[str]:
    """Return what a reader has to know before any number."""
    notes = []
    if study.is_provisional and len(study.runs):
        notes.append("No run of the selection has finished: every number is of the moment.")
    for game, group in study.runs.groupby("game"):
        if group["protocol"].nunique() > 1:
            names = ", ".join(sorted(set(group["protocol"].astype(str))))
            notes.append(f"{game} was played under several protocols: {names}. Their scores cannot be compared.")
    if differing := pooled(study.runs):
        notes.append(f"Runs under one name differ in more than their seed, namely in {', '.join(differing)}.")
    atari = runs[runs["protocol"].astype(str).str.startswith("atari") & runs["percent"].isna()]
    for game, protocol in sorted(set(zip(atari["game"], atari["protocol"], strict=True))):
        notes.append(f"{game} ({protocol}) has no published references, so its scores are in no mean over games.")
    left_out = study.problems[study.problems["kind"].isin(("units", "protocol", "seeds", "clock", "damaged", "rows"))]
    if len(left_out):
        notes.append(f"Left out or damaged: {counted(len(left_out), 'thing')}, named at the end of the page.")
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
