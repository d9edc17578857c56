"""Frames to a score, real workers beside simulated ones: ``python -m benchmarks.learning RESULTS SCORE …``.

It reads the sweep ``small/real-and-simulated`` and prints, for each task, the median frames of each clock, their ratio
with a 95 % bootstrap interval over runs, and the mean policy lags. Each SCORE is TASK=NUMBER.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from asyncrl.analysis import bootstrap, scores, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection

CLOCKS = ("wall", "simulated")


def compare(runs: pd.DataFrame, lags: pd.Series) -> list[str]:
    """Return the cells of one task's row."""
    medians, resamples, cells = [], [], []
    for seed, clock in enumerate(CLOCKS):
        group = runs[runs["clock"] == clock]
        frames = group["frames"].where(group["reached"], np.inf).to_list()
        medians.append(float(np.median(frames)))
        # the two clocks are resampled independently
        resamples.append(bootstrap.resampled_medians(frames, seed))
        low, high = lags[group.index].min(), lags[group.index].max()
        cells += [f"{medians[-1]:,.0f} ({len(group)})", f"{lags[group.index].median():.2f} ({low:.2f} to {high:.2f})"]
    low, high = bootstrap.bounds(resamples[0] / resamples[1])
    return [*cells, f"{medians[0] / medians[1]:.2f}", f"{low:.2f} to {high:.2f}"]


def main(
    results: Annotated[Path, typer.Argument(help="the directory of the sweep, or a published one")],
    reference: Annotated[list[str], typer.Argument(help="TASK=SCORE, for each task")],
) -> None:
    """Print the table."""
    comparison = validity.build_comparison(load(Selection(results)))
    references = {task: float(score) for task, _, score in (each.rpartition("=") for each in reference)}
    times = scores.time_to_score(comparison, references)
    times["clock"] = comparison.runs["clock"]
    lags = comparison.metrics.groupby("run")["policy_lag"].mean()
    columns = ["task", "score", "frames, real (runs)", "lag, real", "frames, simulated (runs)", "lag, simulated"]
    print("| " + " | ".join([*columns, "real ÷ simulated", "95 %"]) + " |\n|" + " --- |" * 8)
    for task, runs in times.groupby("task"):
        print("| " + " | ".join([str(task), f"{references[str(task)]:g}", *compare(runs, lags)]) + " |")


if __name__ == "__main__":
    typer.run(main)
