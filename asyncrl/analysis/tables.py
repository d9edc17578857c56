"""Step "tables" of the pipeline: scores beside published ones, the form of the paper's Table 1, and all runs."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from asyncrl.analysis import bootstrap, reference_data, scores, series
from asyncrl.analysis.validity import Comparison
from asyncrl.text import natural

STARTS_NAMES = {
    reference_data.NO_OP: "no-op starts",
    reference_data.HUMAN: "human starts",
    reference_data.SUITE: "MinAtar starts",
}
INVENTORY = (
    "id", "status", "algo", "env", "protocol", "network", "threads", "envs_per_thread", "seed", "lr", "optimizer",
    "frames", "hours", "frames_per_second", "clock", "cpu", "usable_cores", "turns", "compiled", "asyncrl", "python",
    "torch", "numpy", "gymnasium", "ale-py", "commit", "dirty", "started", "reason",
)  # fmt: skip


def _groups(runs: pd.DataFrame, *by: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Return the runs with equal names in some columns, in the order of the numbers in these names."""
    groups = [(tuple(map(str, names)), group) for names, group in runs.groupby(list(by), sort=False)]
    return sorted(groups, key=lambda each: [natural(name) for name in each[0]])


def overview(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each task and label: number of runs, scores with an interval, speed and machine."""
    rows = []
    for (task, label), group in _groups(runs, "task", "label"):
        row = {"task": task, "label": label} | _score_statistics(group) | {"area": group["area"].mean()}
        row |= {"frames": group["frames"].median(), "hours": group["hours"].median()}
        row |= {"frames_per_second": group["frames_per_second"].median()}
        rows.append(row | {"machine": " / ".join(sorted(set(group["machine"])))})
    return pd.DataFrame(rows, columns=[*OVERVIEW])


def _score_statistics(runs: pd.DataFrame) -> dict[str, float]:
    """Return the number of runs, and their final and best scores."""
    found = bootstrap.aggregate({"": list(runs["final"])}, bootstrap.mean)
    final = {"runs": found.runs, "final": found.value, "low": found.low, "high": found.high}
    return final | {"best": runs["best"].mean()}


OVERVIEW = (
    "task", "label", "runs", "final", "low", "high", "best", "area", "frames", "hours", "frames_per_second", "machine"
)  # fmt: skip


def per_game(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each game with references, protocol and label, with published scores in further columns.

    The name of a published column has the kind of episode start; only equal kinds can be compared.
    """
    rows = []
    known = runs[runs["game"].isin(reference_data.references()["game"])]
    for (game, protocol, label), group in _groups(known, "game", "protocol", "label"):
        row = {"game": game, "protocol": protocol, "label": label} | _score_statistics(group)
        rows.append(row | {"percent": group["percent"].mean(), "reference": group["reference"].iloc[0]})
    table = pd.DataFrame(rows, columns=[*PER_GAME])
    published = table[["game"]].merge(_published_columns(), on="game", how="left").drop(columns="game")
    # those of other suites have no value
    return pd.concat([table, published.dropna(axis="columns", how="all") if len(table) else published], axis="columns")


PER_GAME = ("game", "protocol", "label", "runs", "final", "low", "high", "best", "percent", "reference")


def _published_columns() -> pd.DataFrame:
    references = reference_data.references().melt(
        id_vars=["game", "starts"], value_vars=["random", "human"], var_name="method", value_name="score"
    )
    references = references.dropna(subset="score")
    table = pd.concat([references, reference_data.scores()[["game", "starts", "method", "score"]]])
    table["column"] = table["method"] + ", " + table["starts"].map(STARTS_NAMES)
    # human starts last: our runs have none of them
    order = table.sort_values("starts", ascending=False, kind="stable")["column"].unique()
    return table.pivot(index="game", columns="column", values="score")[list(order)].reset_index()


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the form of Table 1: mean and median of normalised scores over games, for our runs and published agents.

    Published agents with the starts of our runs are aggregated over our games; those with human starts are as printed,
    over 57 games of Atari.
    """
    rows = []
    known = runs[runs["percent"].notna()]
    for (protocol, label), group in _groups(known, "protocol", "label"):
        fractions = {game: list(each["percent"] / 100) for game, each in group.groupby("game")}
        row = {"method": label, "made": "here", "protocol": protocol, "starts": group["starts"].iloc[0]}
        rows.append(row | _aggregates(fractions) | {"reference": group["reference"].iloc[0]})
    percent = scores.normalise(reference_data.scores())
    pairs = pd.MultiIndex.from_frame(known[["game", "starts"]])
    ours = percent[pd.MultiIndex.from_frame(percent[["game", "starts"]]).isin(pairs)]
    for (starts, method), group in ours.groupby(["starts", "method"], sort=True):
        fractions = {game: [score / 100] for game, score in zip(group["game"], group["percent"], strict=True)}
        row = {"method": method, "made": "published, over the games of this report", "starts": starts}
        rows.append(row | _aggregates(fractions) | {"runs": np.nan, "reference": group["source"].iloc[0]})
    is_other = len(known) and not (known["starts"] == reference_data.NO_OP).any()
    for _, printed in reference_data.summary().iloc[: 0 if is_other else None].iterrows():
        row = {"method": printed["method"], "made": "published, as printed", "starts": printed["starts"], "games": 57}
        rows.append(row | {"mean": printed["mean"], "median": printed["median"], "reference": printed["source"]})
    return pd.DataFrame(rows, columns=[*SUMMARY])


SUMMARY = (
    "method", "made", "protocol", "starts", "games", "runs", "mean", "mean_low", "mean_high", "median", "median_low",
    "median_high", "IQM", "IQM_low", "IQM_high", "optimality gap", "optimality gap_low", "optimality gap_high",
    "reference",
)  # fmt: skip


def _aggregates(fractions: Mapping[str, list[float]]) -> dict[str, float]:
    """Return each aggregate and its interval in %, from scores as fractions by game."""
    row: dict[str, float] = {}
    for name, statistic in bootstrap.AGGREGATES.items():
        found = bootstrap.aggregate(fractions, statistic)
        row |= {name: 100 * found.value, f"{name}_low": 100 * found.low, f"{name}_high": 100 * found.high}
        row |= {"games": found.games, "runs": found.runs}
    return row


def improvements(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each two labels with common tasks the probability that a run of one beats a run of the other."""
    finals = {
        label: {task: list(each["final"]) for task, each in group.groupby("task")}
        for (label,), group in _groups(runs, "label")
    }
    rows = []
    for x, y in combinations(finals, 2):
        both = finals[x].keys() & finals[y].keys()
        if both:
            ours, theirs = ({task: finals[label][task] for task in sorted(both)} for label in (x, y))
            found = bootstrap.probability_of_improvement(ours, theirs)
            row = {"label": x, "over": y, "probability": found.value, "low": found.low, "high": found.high}
            rows.append(row | {"tasks": found.games, "runs": found.runs})
    return pd.DataFrame(rows, columns=["label", "over", "probability", "low", "high", "tasks", "runs"])


def best_run_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the paper's means over selected runs: the best 5 of n runs, and the best three learning rates."""
    rows = []
    for (task, label), group in _groups(runs, "task", "label"):
        row = {"task": task, "label": label}
        if len(group) >= series.MIN_RUNS_FOR_BEST:
            found = bootstrap.mean_of_best(list(group["final"]), series.BEST_RUNS)
            name = f"mean of the best {series.BEST_RUNS} of {len(group)} runs"
            rows.append(row | {"statistic": name, "final": found.value, "low": found.low, "high": found.high})
        by_rate = {rate: list(each["final"]) for rate, each in group.groupby("lr")}
        if len(by_rate) > series.BEST_RATES:
            best = bootstrap.best_learning_rates(by_rate, series.BEST_RATES)
            kept = [score for rate in best for score in by_rate[rate]]
            name = f"mean of {len(kept)} runs with the best {series.BEST_RATES} of {len(by_rate)} learning rates"
            rates = ", ".join(f"{rate:.2g}" for rate in best)
            rows.append(row | {"statistic": name, "final": float(np.mean(kept)), "rates": rates})
    return pd.DataFrame(rows, columns=["task", "label", "statistic", "final", "low", "high", "rates"])


def inventory(comparison: Comparison) -> pd.DataFrame:
    """Return every run of the selection with its provenance, and whether it is used."""
    runs = comparison.all_runs
    table = runs.assign(
        hours=runs["seconds"] / 3600, frames_per_second=runs["frames"] / runs["seconds"].where(runs["seconds"] > 0)
    )
    table["used"] = np.where(runs["id"].isin(comparison.runs.index), "yes", "no")
    return table[[*INVENTORY[:2], "used", *INVENTORY[2:]]].reset_index(drop=True)
