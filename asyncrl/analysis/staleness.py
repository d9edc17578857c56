"""Policy lag by the number of threads (part of step "series" of the pipeline)."""

import numpy as np
import pandas as pd

from asyncrl.analysis.series import names_with_machine, series_table
from asyncrl.analysis.validity import Comparison


def lag_by_threads(comparison: Comparison) -> pd.DataFrame:
    """Return the mean policy lag of runs against threads: the median, lowest and highest over runs."""
    rows = comparison.metrics
    if "policy_lag" not in rows or comparison.runs["threads"].nunique() < 2:
        return series_table([])
    rows = rows[np.isfinite(rows["policy_lag"])]
    means = {run: _mean(each) for run, each in rows.groupby(rows["run"].astype(object)) if len(each)}
    runs = comparison.runs[comparison.runs["id"].isin(means)]
    runs = runs.assign(lag=runs["id"].map(means).astype(float), series=names_with_machine(runs, "variant"))
    found = []
    for (task, series, threads), group in runs.groupby(["task", "series", "threads"], sort=True):
        row = {"panel": task, "series": series, "x": threads, "y": group["lag"].median(), "low": group["lag"].min()}
        found.append(row | {"high": group["lag"].max(), "runs": len(group), "statistic": "median, lowest and highest"})
    return series_table(found)


def _mean(rows: pd.DataFrame) -> float:
    """Return the mean over updates; a row has the mean over those since the row before."""
    updates = np.diff(rows["updates"].fillna(0).to_numpy(float), prepend=0.0)
    lags = rows["policy_lag"].to_numpy(float)
    return float(np.average(lags, weights=updates) if updates.sum() > 0 and (updates >= 0).all() else lags.mean())
