"""What may be compared: confusions of protocol, units, seeds and clocks are found, left out, and named.

A number that is wrong by a factor of four, or was measured under other rules, looks like any other in a figure.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from asyncrl.analysis.labels import labelled
from asyncrl.analysis.load import Store
from asyncrl.store.document import Status
from asyncrl.text import counted

NEEDED = ("game", "protocol", "algo", "threads", "seed", "frames_per_step", "lr")  # in run.json
ATARI_SKIP = 4  # frames a step
CLOCK_FACTOR = 3.0  # between the rate a run's seconds come to and the rates measured as it went
SAME_ROWS = 3  # evaluations equal to the last digit, seconds too, are a copy of a run


class Study(NamedTuple):
    """Runs that may be compared, with the rows that belong to them."""

    runs: pd.DataFrame  # as in Store; and what ``labelled`` adds, and timed: whether its seconds can be trusted
    evaluations: pd.DataFrame  # those of training, under the run's own protocol
    metrics: pd.DataFrame
    everything: pd.DataFrame  # all runs of the selection
    problems: pd.DataFrame  # columns run, kind, text; an empty run is about all of them
    is_provisional: bool  # no run has finished, so that unfinished ones are used


def study(store: Store, unfinished: bool = False) -> Study:
    """Choose what may be compared: finished runs, or unfinished ones too if asked to or if there are no others."""
    found: list[tuple[str, str, str]] = []
    runs = store.runs
    finished = runs["status"] == Status.FINISHED
    is_provisional = not finished.any() and not runs.empty
    candidates = runs[finished | (runs["status"] != Status.DAMAGED) & (unfinished or is_provisional)]
    candidates = candidates[~candidates["id"].isin(_incomplete(candidates, found))]
    evaluations = _own_evaluations(store, candidates, found)
    wrong = _wrong_units(store, candidates, found) | _wrong_protocol(candidates, found)
    candidates = candidates[~candidates["id"].isin(wrong)]
    repeated = _repeated(candidates, evaluations, found)
    used = candidates[~candidates["id"].isin(repeated)].copy()
    used["timed"] = ~used["id"].isin(_wrong_clocks(store, used, found))
    used = labelled(used)
    _never_evaluated(used, evaluations, found)
    _machines(used, found)
    problems = pd.concat([store.problems, pd.DataFrame(found, columns=["run", "kind", "text"])], ignore_index=True)
    mine = evaluations["run"].isin(used.index), store.metrics["run"].isin(used.index)
    return Study(used, evaluations[mine[0]], store.metrics[mine[1]], runs, problems, is_provisional)


def _incomplete(runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> set[str]:
    """Return runs whose document does not say what they are."""
    wrong = runs[runs[list(NEEDED)].isna().any(axis=1)]
    for run, row in wrong.iterrows():
        missing = ", ".join(name for name in NEEDED if pd.isna(row[name]))
        found.append((run, "damaged", f"left out: run.json does not say its {missing}"))
    return set(wrong.index)


def _own_evaluations(store: Store, runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Return evaluations made while training, under the protocol that the run has; name any others."""
    rows = store.evaluations[store.evaluations["kind"] == "training"]
    rows = rows[rows["run"].isin(runs.index)]
    other = rows["protocol"].astype(object) != rows["run"].astype(object).map(runs["protocol"])
    for (run, protocol), group in rows[other].groupby(["run", "protocol"], observed=True):
        text = f"left out: {counted(len(group), 'evaluation')} by the protocol {protocol}"
        text += f" in a run of {runs.at[run, 'protocol']}"
        found.append((run, "protocol", text))
    rows = rows[~other].astype({"run": object})
    return rows.sort_values(["run", "frames"], kind="stable")


def _wrong_units(store: Store, runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> set[str]:
    """Return runs whose rows confuse frames with steps."""
    wrong = set()
    for name in ("evaluations", "metrics"):
        rows = getattr(store, name)
        factor = rows["run"].astype(object).map(runs["frames_per_step"]).to_numpy(float)
        bad = (rows["frames"] - rows["steps"] * factor).abs() > (factor if name == "metrics" else 0)  # thinned ones
        for run in rows.loc[bad, "run"].unique():
            if run not in wrong:
                text = f"left out: frames in its {name} are not {runs.at[run, 'frames_per_step']:g} times the steps"
                found.append((run, "units", text))
            wrong.add(run)
    atari = runs["protocol"].astype(str).str.startswith("atari")
    for run in runs.index[atari & (runs["frames_per_step"] != ATARI_SKIP)].difference(list(wrong)):
        skip = runs.at[run, "frames_per_step"]
        found.append((run, "units", f"left out: an Atari run of frames_per_step {skip:g}, where the protocol has 4"))
        wrong.add(run)
    return wrong


def _wrong_protocol(runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> set[str]:
    """Return runs that say one protocol and are set to another."""
    wrong = runs[runs["protocol"].astype(str) != runs["configured"].astype(str)]
    for run, row in wrong.iterrows():
        text = f"left out: it says {row['protocol']}, but its settings are those of {row['configured']}"
        found.append((run, "protocol", text))
    return set(wrong.index)


def _repeated(runs: pd.DataFrame, evaluations: pd.DataFrame, found: list[tuple[str, str, str]]) -> set[str]:
    """Return runs that are no independent samples: the same settings and seed again, or a copy.

    A copy is known by its numbers alone, whatever its document says by now; of two, a finished run stays.
    """
    repeated: set[str] = set()
    kept: dict[object, str] = {}  # by settings and seed
    prints: dict[object, str] = {}  # by the numbers themselves
    scores = dict(list(evaluations.groupby("run")))
    in_order = runs.assign(is_open=runs["status"] != Status.FINISHED).sort_values(["is_open", "started", "id"])
    for run, row in in_order.iterrows():
        key = (row["setting"], row["seed"])
        rows = scores.get(run)
        print_ = None
        if rows is not None and len(rows) >= SAME_ROWS:
            print_ = rows[["frames", "mean", "seconds"]].to_numpy().tobytes()
        if print_ in prints and print_ is not None:
            found.append((run, "seeds", f"left out: its evaluations are those of {prints[print_]}, digit for digit"))
            repeated.add(run)
        elif key in kept:
            found.append((run, "seeds", f"left out: {kept[key]} has the same settings and seed, so n counts it once"))
            repeated.add(run)
        else:
            kept[key] = run
            prints |= {print_: run} if print_ is not None else {}
    return repeated


def _wrong_clocks(store: Store, runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> set[str]:
    """Return runs whose seconds go back, or are not those in which the frames were made."""
    wrong = set()
    for run, rows in store.metrics[store.metrics["run"].isin(runs.index)].groupby("run", observed=True):
        frames, seconds = (rows[name].to_numpy(float) for name in ("frames", "seconds"))
        rate = frames[-1] / seconds[-1] if seconds[-1] > 0 else np.inf
        measured = np.median(rows["frames_per_second"])
        text = ""
        if (np.diff(seconds) < 0).any():
            text = "seconds go back while frames go on"
        elif len(rows) >= SAME_ROWS and not 1 / CLOCK_FACTOR < rate / max(measured, 1e-9) < CLOCK_FACTOR:
            text = f"its seconds come to {rate:,.3g} frames/s, while {measured:,.3g} were measured as it went"
        if text:
            found.append((run, "clock", f"left out of everything by time: {text}"))
            wrong.add(run)
    return wrong


def _never_evaluated(runs: pd.DataFrame, evaluations: pd.DataFrame, found: list[tuple[str, str, str]]) -> None:
    never = runs.index.difference(evaluations["run"].unique(), sort=False)
    found.extend((run, "evaluations", "it was never evaluated, so it has no score") for run in never)


def _machines(runs: pd.DataFrame, found: list[tuple[str, str, str]]) -> None:
    """Say where hours of one game come from unlike machines."""
    for (game, protocol), group in runs[runs["timed"]].groupby(["game", "protocol"]):
        machines = sorted(set(group["machine"]))
        if len(machines) > 1:
            text = f"hours on {game} ({protocol}) were measured on different machines, and are kept apart: "
            text += "; ".join(machines)
            found.append(("", "machines", text))
