"""Step "series" of the pipeline: the numbers in figures, as tidy tables.

Columns: panel, series, x, y, low, high, runs, statistic. The CSV file of a figure is one of these tables; plotting
computes no further numbers.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asyncrl.analysis import bootstrap
from asyncrl.analysis.labels import LINES_OF_BEST, facets
from asyncrl.analysis.validity import MAX_SCORE, Comparison
from asyncrl.analysis.varying import Varying

COLUMNS = ("panel", "series", "x", "y", "low", "high", "runs", "statistic")
POINTS = 40  # per averaged curve
BEST_RUNS, MIN_RUNS_FOR_BEST = 5, LINES_OF_BEST  # with so many runs, the best 5 have a curve of their own
MIN_SETTING_VALUES = 3  # of a setting, for a figure of scores against it
BEST_RATES = 3  # of a thread count, runs with the best three learning rates are averaged
TRAINING_STATISTICS = ("entropy", "q", "value", "grad_norm", "policy_lag", "loss")

Array = NDArray[np.float64]
Curve = tuple[Array, Array]  # x, y of one run


def series_table(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Return rows as a table with ``COLUMNS``; missing values are NaN."""
    return pd.DataFrame(list(rows), columns=[*COLUMNS])


def learning_curves(comparison: Comparison, unit: str) -> pd.DataFrame:
    """Return score against ``frames`` or ``hours``, one series per label, in the panels of ``facets`` (figure 1)."""
    runs = _runs_with_valid_clock(comparison) if unit == "hours" else comparison.runs
    return _curves(
        comparison,
        runs.assign(series=names_with_machine(runs, "line") if unit == "hours" else runs["line"]),
        unit,
        best=True,
    )


def curves_by_threads(comparison: Comparison, unit: str) -> pd.DataFrame:
    """Return score against ``frames`` (figure 3) or ``hours`` (figure 4), one series per thread count.

    With more than three learning rates, only runs of the best three by mean final score count, as in the paper.
    """
    runs = _runs_with_valid_clock(comparison) if unit == "hours" else comparison.runs
    runs = runs.assign(
        panel=runs["task"] + ": " + names_with_machine(runs, "variant"), series=_thread_names(runs["threads"])
    )
    runs = runs[runs.groupby("panel")["threads"].transform("nunique") > 1]
    finals = comparison.evaluations.groupby("run")["mean"].last()
    kept = [
        group[group["lr"].isin(_best_rates(group, finals))]
        for _, group in runs.groupby(["panel", "threads"], sort=True)
    ]
    return _curves(comparison, pd.concat(kept) if kept else runs, unit)


def _best_rates(runs: pd.DataFrame, finals: pd.Series) -> list[float]:
    if runs["lr"].nunique() <= BEST_RATES:
        return list(runs["lr"].unique())
    runs = runs[runs["id"].isin(finals.index)]
    return bootstrap.best_learning_rates(
        {rate: list(finals[group["id"]]) for rate, group in runs.groupby("lr")}, BEST_RATES
    )


def _thread_names(threads: pd.Series) -> pd.Series:
    return pd.Series([f"{n:g} thread{'s' * (n != 1)}" for n in threads], threads.index, dtype=object)


def _runs_with_valid_clock(comparison: Comparison) -> pd.DataFrame:
    return comparison.runs[comparison.runs["timed"]]


def names_with_machine(runs: pd.DataFrame, column: str) -> pd.Series:
    """Return labels with the machine appended if a task was run on several machines."""
    several = runs.groupby("task")["machine"].transform("nunique") > 1
    return runs[column].where(~several, runs[column] + " (" + runs["machine"] + ")")


def _curves(comparison: Comparison, runs: pd.DataFrame, unit: str, best: bool = False) -> pd.DataFrame:
    scores = dict(list(comparison.evaluations.groupby("run")))
    tables = []
    for (panel, series), group in runs.groupby(["panel", "series"], sort=True):
        found = [_run_curve(scores[run], unit) for run in group["id"] if run in scores]
        rates = group["lr"].nunique()
        name = f"mean, best {rates} learning rates" if not best and rates > 1 else "mean"
        tables += _averaged(panel, series, found, name)
        if best and len(found) >= MIN_RUNS_FOR_BEST:
            top = sorted(found, key=lambda curve: -curve[1][-1])[:BEST_RUNS]
            tables += _averaged(panel, f"{series}, best {BEST_RUNS} of {len(found)}", top, f"mean, best {BEST_RUNS}")
    return pd.concat(tables, ignore_index=True) if tables else series_table([])


def _run_curve(rows: pd.DataFrame, unit: str) -> Curve:
    x = rows["seconds"].to_numpy(float) / 3600 if unit == "hours" else rows[unit].to_numpy(float)
    return x, rows["mean"].to_numpy(float)


def _averaged(panel: object, series: object, runs: list[Curve], statistic: str) -> list[pd.DataFrame]:
    """Average runs, interpolated linearly, from the latest first point to the earliest last point of all runs.

    If there is no such stretch, nothing is averaged and each run has a series of its own.
    """
    if not runs:
        return []
    start, end = max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs)
    if start > end and len(runs) > 1:
        alone = [(f"{series}, run {i} of {len(runs)}", [run]) for i, run in enumerate(runs, 1)]
        return [each for name, run in alone for each in _averaged(panel, name, run, "one run")]
    grid = runs[0][0] if len(runs) == 1 else np.linspace(start, end, POINTS) if start < end else np.array([end])
    found = bootstrap.mean_curve(np.stack([np.interp(grid, x, y) for x, y in runs]))
    columns = {"x": grid, "y": found[:, 0], "low": found[:, 1], "high": found[:, 2]}
    return [pd.DataFrame({"panel": panel, "series": series, **columns, "runs": len(runs), "statistic": statistic})]


def score_by_setting(runs: pd.DataFrame, varying: Varying, name: str) -> pd.DataFrame:
    """Return final scores against a numeric setting, for series in which it has three values or more (figure 2).

    A setting that labels name gives the mean at each value; an axis gives a point per run.
    """
    if name not in varying.numeric:
        return series_table([])
    known = facets(runs, varying, without=name).assign(x=varying.values[name].reindex(runs.index).astype(float))
    known = known[known.groupby(["panel", "line"])["x"].transform("nunique") >= MIN_SETTING_VALUES]
    if name in varying.axes:
        points = {"panel": known["panel"], "series": known["line"], "x": known["x"], "y": known["final"]}
        points |= {"low": np.nan, "high": np.nan, "runs": 1, "statistic": "final score"}
        return pd.DataFrame(points).sort_values(["panel", "series", "x"], kind="stable", ignore_index=True)
    rows = []
    for (panel, line, x), group in known.groupby(["panel", "line", "x"], sort=True):
        found = bootstrap.aggregate({"": list(group["final"])}, bootstrap.mean)
        row = {"panel": panel, "series": line, "x": x, "y": found.value, "low": found.low, "high": found.high}
        rows.append(row | {"runs": found.runs, "statistic": "mean final score"})
    return series_table(rows)


def scores_by_optimizer(runs: pd.DataFrame) -> pd.DataFrame:
    """Return final scores in descending order by optimiser, for runs with otherwise equal settings (figure S5)."""
    known = runs.assign(panel=runs["task"] + ": " + runs["setup"])
    known = known[known.groupby("panel")["optimizer"].transform("nunique") > 1].sort_values("final", ascending=False)
    groups = known.groupby(["panel", "optimizer"], sort=True)
    known = known.assign(rank=groups.cumcount() + 1, n=groups["final"].transform("size"))
    known = known.sort_values(["panel", "optimizer", "rank"])
    points = {"panel": known["panel"], "series": known["optimizer"], "x": known["rank"], "y": known["final"]}
    points |= {"low": np.nan, "high": np.nan, "runs": known["n"], "statistic": "final score"}
    return pd.DataFrame(points).reset_index(drop=True)


def speedup_by_threads(speedups: pd.DataFrame) -> pd.DataFrame:
    """Return mean speed-ups against threads, ours and the paper's; empty if ours have a single thread count."""
    ours = speedups[~speedups["variant"].str.startswith("paper: ")]
    if ours["threads"].nunique() < 2:
        return series_table([])
    several = ours["machine"].nunique() > 1
    names = speedups["variant"].where(
        speedups["runs"].isna() | (not several),
        speedups["variant"] + " (" + speedups["machine"] + ")",
    )
    columns = {"panel": "speed-up", "series": names, "x": speedups["threads"], "y": speedups["speedup"]}
    statistic = "mean of " + speedups["games"].map("{:g}".format) + " games"
    # a bar without an end is not drawn
    bounds = {end: speedups[f"speedup_{end}"].replace(np.inf, np.nan) for end in ("low", "high")}
    return pd.DataFrame({**columns, **bounds, "runs": speedups["runs"], "statistic": statistic})


def frames_per_second(runs: pd.DataFrame) -> pd.DataFrame:
    """Return frames per second against threads: the median, lowest and highest over runs."""
    known = runs[runs["frames_per_second"].notna()]
    known = known.assign(series=names_with_machine(known, "variant"))
    rows = []
    for (task, series, threads), group in known.groupby(["task", "series", "threads"], sort=True):
        speed = group["frames_per_second"]
        row = {"panel": task, "series": series, "x": threads, "y": speed.median(), "low": speed.min()}
        rows.append(row | {"high": speed.max(), "runs": len(group), "statistic": "median, lowest and highest"})
    return series_table(rows)


def performance_profiles(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of runs above each normalised score, one panel per protocol."""
    rows = []
    known = runs[runs["percent"].notna()]
    for protocol, group in known.groupby("protocol", sort=True):
        levels = np.linspace(min(0.0, group["percent"].min()), max(100.0, group["percent"].max()), 101)
        for label, each in group.groupby("label", sort=True):
            by_game = {game: list(one["percent"]) for game, one in each.groupby("game")}
            found = bootstrap.performance_profile(by_game, levels)
            statistic = f"fraction of runs over {len(by_game)} games"
            rows += [
                {"panel": protocol, "series": label, "x": level, "y": y, "low": low, "high": high}
                | {"runs": len(each), "statistic": statistic}
                for level, (y, low, high) in zip(levels, found, strict=True)
            ]
    return series_table(rows)


def aggregate_intervals(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the aggregates of our rows of the summary with their intervals, one panel per aggregate."""
    ours = summary[summary["made"] == "here"]
    several = ours["protocol"].nunique() > 1
    return series_table(
        {
            "panel": name,
            "series": f"{row['method']} ({row['protocol']})" if several else row["method"],
            "x": row[name],
            "low": row[f"{name}_low"],
            "high": row[f"{name}_high"],
            "runs": row["runs"],
            "statistic": f"normalised score in % over {row['games']:g} games",
        }
        for name in bootstrap.AGGREGATES
        for _, row in ours.iterrows()
    )


def training_statistics(comparison: Comparison) -> pd.DataFrame:
    """Return statistics of training against frames, one panel for each task and statistic.

    Values that are not finite are left out; ``load`` lists them as problems.
    """
    tables = []
    metrics = comparison.metrics.assign(run=comparison.metrics["run"].astype(object))
    names = [name for name in TRAINING_STATISTICS if name in metrics and metrics[name].notna().any()]
    by_run = dict(list(metrics.groupby("run")))
    for (title, line), group in comparison.runs.groupby(["panel", "line"], sort=True):
        rows = [by_run[run] for run in group["id"] if run in by_run]
        for name in names:
            known = [each.loc[each[name].abs() < MAX_SCORE] for each in rows]
            found = [(each["frames"].to_numpy(float), each[name].to_numpy(float)) for each in known if len(each)]
            panel = f"{title}: {name.replace('_', ' ')}"
            tables += _averaged(panel, line, found, "mean")
    joined = pd.concat(tables, ignore_index=True) if tables else series_table([])
    return joined.sort_values(["panel", "series", "x"], kind="stable", ignore_index=True)
