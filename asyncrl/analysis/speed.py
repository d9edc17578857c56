"""Step "speed" of the pipeline: time and frames to a score by threads, and the form of the paper's Table 2."""

from collections.abc import Mapping
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
import pandas as pd

from asyncrl.analysis import bootstrap, reference_data, scores
from asyncrl.analysis.bootstrap import Array
from asyncrl.analysis.validity import Comparison

Key: TypeAlias = tuple[Any, ...]  # the values of SAME, and the number of threads


def by_game(comparison: Comparison, references: Mapping[str, float]) -> pd.DataFrame:
    """Return for each task, variant, machine and thread count the time of its runs to a reference score.

    ``hours`` is the median over runs; it is missing if half of the runs or more did not reach the score, and then above
    ``hours_limit``, the shortest of these. ``speedup`` is the hours of one thread divided by ``hours``;
    ``data_efficiency`` is the same with frames. Both are also missing if half of the runs had the score at their first
    evaluation (``at_once``), since the exact time is unknown. Columns with ``_low`` and ``_high`` are 95 % bootstrap
    intervals over runs, infinite where resamples did not reach the score.
    """
    table = scores.time_to_score(comparison, references)
    table = table[table["hours"].notna()]
    groups = {tuple(key): group for key, group in table.groupby([*SAME, "threads"])}
    return pd.DataFrame([_speed(key, groups) for key in groups], columns=[*SPEED])


SAME = ("task", "variant", "algo", "machine")  # runs whose speeds can be compared
SPEED = (
    *SAME, "threads", "reference_score", "runs", "reached", "at_once",
    *(f"{name}{end}" for name in ("hours", "frames") for end in ("", "_low", "_high", "_limit")),
    *(f"{name}{end}" for name in ("speedup", "data_efficiency") for end in ("", "_low", "_high")),
    "resampled",  # of the speed-up, [R]
)  # fmt: skip


def _speed(key: Key, groups: Mapping[Key, pd.DataFrame]) -> dict[str, Any]:
    """Return a row of ``by_game``."""
    group, one = groups[key], groups.get((*key[:-1], 1))
    row = dict(zip((*SAME, "threads"), key, strict=True))
    row |= {"reference_score": group["reference_score"].iloc[0], "runs": len(group)}
    row |= {"reached": int(group["reached"].sum()), "at_once": int(group["at_once"].sum())}
    for unit, ratio in (("frames", "data_efficiency"), ("hours", "speedup")):
        median, resampled = _times(group, unit)
        row |= {unit: median if np.isfinite(median) else np.nan, **_interval(unit, resampled)}
        row[f"{unit}_limit"] = _limit(group, unit)
        if one is None or any(each["at_once"].sum() * 2 >= len(each) for each in (group, one)):
            continue
        first, of_first = _times(one, unit)
        if np.isfinite(first) and np.isfinite(median):
            # one thread beside itself has no spread
            quotients = np.full_like(resampled, np.nan) if one is group else _quotient(of_first, resampled)
            row |= {ratio: first / median, **_interval(ratio, quotients), "resampled": quotients}
    return row


def _limit(group: pd.DataFrame, unit: str) -> float:
    """Return a time that the median of runs is greater than, where it is infinite; NaN where all reached the score."""
    last = group.loc[~group["reached"], unit].min()
    if 2 * group["reached"].sum() != len(group):
        return float(last)
    # the median is between the last that reached it and the first that did not
    return float(group.loc[group["reached"], unit].max() + last) / 2


def _times(group: pd.DataFrame, unit: str) -> tuple[float, Array]:
    """Return the median time of runs to the score, and its resamples; infinite without it."""
    times = group[unit].where(group["reached"], np.inf).to_list()
    # runs of different games, and of different numbers of threads, are resampled independently
    seed = crc32(f"{group['task'].iloc[0]} {group['threads'].iloc[0]}".encode())
    return float(np.median(times)), bootstrap.resampled_medians(times, seed)


def _quotient(one: Array, other: Array) -> Array:
    with np.errstate(invalid="ignore"):  # NaN where both are infinite
        return one / other


def _interval(name: str, resampled: Array) -> dict[str, float]:
    """Return the columns of an interval."""
    return dict(zip((f"{name}_low", f"{name}_high"), bootstrap.bounds(resampled), strict=True))


def speedup(times: pd.DataFrame) -> pd.DataFrame:
    """Return the form of Table 2: the mean speed-up over games, by variant and threads, then the paper's."""
    rows = []
    for key, group in times[times["speedup"].notna()].groupby([*SAME[1:], "threads"]):
        row = dict(zip((*SAME[1:], "threads"), key, strict=True)) | {"speedup": group["speedup"].mean()}
        row |= _interval("speedup", np.mean(np.stack(list(group["resampled"])), axis=0))
        rows.append(row | {"games": float(group["task"].nunique()), "runs": float(group["runs"].sum())})
    columns = [*SAME[1:], "threads", "speedup", "speedup_low", "speedup_high", "games", "runs"]
    ours = pd.DataFrame(rows, columns=columns)
    paper = reference_data.speedup().rename(columns={"source": "machine"}).assign(games=7.0, runs=np.nan)
    paper["variant"] = "paper: " + paper["algo"]
    paper = paper.reindex(columns=columns)
    return paper if ours.empty else pd.concat([ours, paper], ignore_index=True)
