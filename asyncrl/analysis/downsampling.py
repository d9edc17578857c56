"""Fewer rows of a run: metrics averaged in blocks of rows, episodes in bins of frames."""

import numpy as np
import pandas as pd
import pyarrow as pa

from asyncrl.analysis import cache

COMPACT_ROWS = 200  # bins of episodes of one run


def downsampled(table: pa.Table, rows: int) -> pa.Table:
    """Average blocks of rows, without values that are missing or not finite; counters are those of the last row."""
    if len(table) <= rows:
        return table
    starts = np.ceil(np.arange(rows) * len(table) / rows).astype(int)
    ends = np.append(starts[1:], len(table)) - 1
    columns = {}
    for name in table.column_names:
        kind = table[name].type
        if name in cache.COUNTER_COLUMNS:
            columns[name] = table[name].to_numpy()[ends]
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            values = table[name].to_numpy().astype(float)
            known = np.isfinite(values)
            sums = np.add.reduceat(np.where(known, values, 0.0), starts)
            counts = np.add.reduceat(known.astype(float), starts)
            columns[name] = np.divide(sums, counts, out=np.full(rows, np.nan), where=counts > 0)
    return pa.table(columns)


def binned(episodes: pd.DataFrame) -> pd.DataFrame:
    """Average the episodes of each run in bins of equal frames; counters are those of a bin's last episode.

    A score that is not finite is left out of its mean. ``episodes`` is the number of episodes of a bin.
    """
    rows = episodes.drop(columns=["worker", "completed"], errors="ignore").astype({"run": object})
    last = rows.groupby("run")["frames"].transform("max")
    edges = np.floor(COMPACT_ROWS * (rows["frames"] - 1).clip(lower=0) / last.clip(lower=1)).astype(int)
    groups = rows.assign(bin=edges).groupby(["run", "bin"], sort=True)
    means = [name for name in rows if name not in (*cache.COUNTER_COLUMNS, "run", "episodes")]
    finite = rows.assign(**{name: rows[name].where(np.isfinite(rows[name].astype(float))) for name in means}, bin=edges)
    found = groups[list(cache.COUNTER_COLUMNS)].max().join(finite.groupby(["run", "bin"])[means].mean())
    counts = groups["episodes"].sum() if "episodes" in rows else groups.size()
    return found.assign(episodes=counts).reset_index().drop(columns="bin")
