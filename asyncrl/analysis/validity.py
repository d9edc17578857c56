"""Step "validity" of the pipeline: excludes runs and rows that may not be compared, and lists them with the reason.

It detects wrong protocols, units (frames and steps), repeated seeds and wrong clocks. Such errors are invisible in a
figure.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from asyncrl.analysis.labels import with_labels
from asyncrl.analysis.load import RunTables
from asyncrl.analysis.varying import Varying
from asyncrl.store.document import Status
from asyncrl.text import counted

REQUIRED = ("game", "protocol", "algo", "threads", "seed", "frames_per_step", "lr")  # in run.json
ATARI_SKIP = 4  # frames a step
CLOCK_FACTOR = 3.0  # allowed between the frames/s of a whole run and the frames/s in its metrics
MIN_ROWS = 3  # to recognise a copy or a wrong clock
MAX_SCORE = 1e100  # squares and sums of larger scores overflow
SCORES = "scores"  # the kind of problem of scores that are not finite or too large

Problems = list[tuple[str, str, str]]  # run, kind, text


class Comparison(NamedTuple):
    """Runs that may be compared, with their rows."""

    runs: pd.DataFrame  # as in RunTables, with labels, and ``timed``: whether the clock is valid
    varying: Varying  # the settings in which these runs differ
    evaluations: pd.DataFrame  # during training, with the protocol of the run
    metrics: pd.DataFrame
    all_runs: pd.DataFrame  # of the selection
    problems: pd.DataFrame  # columns run, kind, text; run is empty if several runs are concerned
    is_provisional: bool  # no run has finished, so unfinished runs are used


def build_comparison(store: RunTables, unfinished: bool = False) -> Comparison:
    """Exclude what may not be compared.

    Args:
        store: the loaded runs.
        unfinished: whether to use unfinished runs too; they are also used if no run has finished.
    """
    found: Problems = []
    runs = store.runs
    finished = runs["status"] == Status.FINISHED
    is_provisional = not finished.any() and not runs.empty
    candidates = runs[finished | (runs["status"] != Status.DAMAGED) & (unfinished or is_provisional)]
    candidates = candidates[~candidates["id"].isin(_runs_without_settings(candidates, found))]
    evaluations = _valid_evaluations(store, candidates, found)
    wrong = _runs_with_wrong_units(store, candidates, found) | _runs_with_wrong_protocol(candidates, found)
    candidates = candidates[~candidates["id"].isin(wrong)]
    repeated = _repeated_runs(candidates, evaluations, found)
    used = candidates[~candidates["id"].isin(repeated)].copy()
    used["timed"] = ~used["id"].isin(_runs_with_wrong_clock(store, used, found))
    used, varying = with_labels(used)
    _record_missing_evaluations(used, evaluations, found)
    _record_different_machines(used, found)
    evaluations = _evaluations_with_usable_score(evaluations[evaluations["run"].isin(used.index)], found)
    problems = pd.concat([store.problems, pd.DataFrame(found, columns=["run", "kind", "text"])], ignore_index=True)
    metrics = store.metrics[store.metrics["run"].isin(used.index)]
    return Comparison(used, varying, evaluations, metrics, runs, problems, is_provisional)


def _runs_without_settings(runs: pd.DataFrame, problems: Problems) -> set[str]:
    """Return runs whose document lacks a required setting."""
    wrong = runs[runs[list(REQUIRED)].isna().any(axis=1)]
    for run, row in wrong.iterrows():
        missing = ", ".join(name for name in REQUIRED if pd.isna(row[name]))
        problems.append((run, "damaged", f"excluded: run.json lacks its {missing}"))
    return set(wrong.index)


def _valid_evaluations(store: RunTables, runs: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Return evaluations during training with the protocol of the run; record others as problems."""
    rows = store.evaluations[store.evaluations["kind"] == "training"]
    rows = rows[rows["run"].isin(runs.index)]
    other = rows["protocol"].astype(object) != rows["run"].astype(object).map(runs["protocol"])
    for (run, protocol), group in rows[other].groupby(["run", "protocol"], observed=True):
        text = f"excluded: {counted(len(group), 'evaluation')} with protocol {protocol}"
        text += f" in a run with {runs.at[run, 'protocol']}"
        problems.append((run, "protocol", text))
    rows = rows[~other].astype({"run": object})
    return rows.sort_values(["run", "frames"], kind="stable")


def _evaluations_with_usable_score(rows: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Return evaluations whose mean is finite and not too large for statistics; record each run with others.

    A run whose last evaluation is not usable has no final score, and loses all its evaluations.
    """
    unusable = ~(rows["mean"].abs() < MAX_SCORE)  # NaN, too
    for run, group in rows[unusable].groupby("run"):
        means, all_rows = ", ".join(sorted({f"{mean:g}" for mean in group["mean"]})), rows[rows["run"] == run]
        many = f"{len(group)} of {counted(len(all_rows), 'evaluation')} have a mean that no statistic can use ({means})"
        if unusable[all_rows.index[-1]]:
            unusable |= rows["run"] == run
            problems.append((run, SCORES, f"excluded from all scores: {many}, and so has the last one"))
        else:
            problems.append((run, SCORES, f"excluded in part from curves and best scores: {many}"))
    return rows[~unusable]


def _runs_with_wrong_units(store: RunTables, runs: pd.DataFrame, problems: Problems) -> set[str]:
    """Return runs whose rows have steps in place of frames, or the reverse."""
    wrong = set()
    for name in ("evaluations", "metrics"):
        rows = getattr(store, name)
        factor = rows["run"].astype(object).map(runs["frames_per_step"]).to_numpy(float)
        # a row of metrics may be off by one step
        bad = (rows["frames"] - rows["steps"] * factor).abs() > (factor if name == "metrics" else 0)
        for run in rows.loc[bad, "run"].unique():
            if run not in wrong:
                text = f"excluded: frames in its {name} are not {runs.at[run, 'frames_per_step']:g} times the steps"
                problems.append((run, "units", text))
            wrong.add(run)
    atari = runs["protocol"].astype(str).str.startswith("atari")
    for run in runs.index[atari & (runs["frames_per_step"] != ATARI_SKIP)].difference(list(wrong)):
        skip = runs.at[run, "frames_per_step"]
        problems.append(
            (run, "units", f"excluded: an Atari run with frames_per_step {skip:g}; the protocol requires 4")
        )
        wrong.add(run)
    return wrong


def _runs_with_wrong_protocol(runs: pd.DataFrame, problems: Problems) -> set[str]:
    """Return runs whose recorded protocol differs from their settings."""
    wrong = runs[runs["protocol"].astype(str) != runs["configured"].astype(str)]
    for run, row in wrong.iterrows():
        text = f"excluded: its protocol is recorded as {row['protocol']}, but its settings imply {row['configured']}"
        problems.append((run, "protocol", text))
    return set(wrong.index)


def _repeated_runs(runs: pd.DataFrame, evaluations: pd.DataFrame, problems: Problems) -> set[str]:
    """Return runs that are not independent samples: the same settings and seed again, or a copy.

    A copy is recognised by its numbers, even if its document was edited. Of two equal runs, a finished one is kept.
    """
    repeated: set[str] = set()
    kept: dict[object, str] = {}  # by settings and seed
    originals: dict[object, str] = {}  # by their numbers
    scores = dict(list(evaluations.groupby("run")))
    in_order = runs.assign(is_open=runs["status"] != Status.FINISHED).sort_values(["is_open", "started", "id"])
    for run, row in in_order.iterrows():
        key = (row["setting"], row["seed"])
        rows = scores.get(run)
        numbers = None
        if rows is not None and len(rows) >= MIN_ROWS:
            numbers = rows[["frames", "mean", "seconds"]].to_numpy().tobytes()
        if numbers in originals and numbers is not None:
            problems.append((run, "seeds", f"excluded: its evaluations are identical to those of {originals[numbers]}"))
            repeated.add(run)
        elif key in kept:
            problems.append((run, "seeds", f"excluded: {kept[key]} has the same settings and seed"))
            repeated.add(run)
        else:
            kept[key] = run
            originals |= {numbers: run} if numbers is not None else {}
    return repeated


def _runs_with_wrong_clock(store: RunTables, runs: pd.DataFrame, problems: Problems) -> set[str]:
    """Return runs whose seconds decrease, or do not match their frames per second."""
    evaluations = store.evaluations[store.evaluations["kind"] == "training"]
    wrong = {run for run, rows in evaluations.groupby("run", observed=True) if (np.diff(rows["seconds"]) < 0).any()}
    wrong = wrong.intersection(runs.index)
    text = "excluded from everything by time: seconds of its evaluations decrease"
    problems.extend((run, "clock", text) for run in sorted(wrong))
    for run, rows in store.metrics[store.metrics["run"].isin(runs.index.difference(wrong))].groupby(
        "run", observed=True
    ):
        frames, seconds = (rows[name].to_numpy(float) for name in ("frames", "seconds"))
        rate = frames[-1] / seconds[-1] if seconds[-1] > 0 else np.inf
        measured = np.median(rows["frames_per_second"])
        text = ""
        if (np.diff(seconds) < 0).any():
            text = "seconds decrease while frames increase"
        elif len(rows) >= MIN_ROWS and not 1 / CLOCK_FACTOR < rate / max(measured, 1e-9) < CLOCK_FACTOR:
            text = f"its seconds imply {rate:,.3g} frames/s, but its metrics have {measured:,.3g}"
        if text:
            problems.append((run, "clock", f"excluded from everything by time: {text}"))
            wrong.add(run)
    return wrong


def _record_missing_evaluations(runs: pd.DataFrame, evaluations: pd.DataFrame, problems: Problems) -> None:
    missing = runs.index.difference(evaluations["run"].unique(), sort=False)
    problems.extend((run, "evaluations", "it has no evaluation, so it has no score") for run in missing)


def _record_different_machines(runs: pd.DataFrame, problems: Problems) -> None:
    """Record games whose training times are from different machines."""
    for (game, protocol), group in runs[runs["timed"]].groupby(["game", "protocol"]):
        machines = sorted(set(group["machine"]))
        if len(machines) > 1:
            text = f"hours on {game} ({protocol}) were measured on different machines and are shown separately: "
            text += "; ".join(machines)
            problems.append(("", "machines", text))
