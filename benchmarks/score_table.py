"""A table of frames and minutes to a score, from the training games of runs and from measured rates.

A run that has not reached a score reached it later than at its last game: its frames are between those and infinity.
Medians, quotients and resamples are computed with both ends.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asyncrl.analysis import bootstrap
from asyncrl.text import NOTHING, count
from benchmarks.recording import Array, frames_to

RATE_SEED = 0  # of the resamples of rounds: rates of one round are drawn together


class Games(NamedTuple):
    """The training games of one run."""

    frames: Array  # [n] at which they ended
    scores: Array  # [n]


class Estimate(NamedTuple):
    """A number that lies between two ends, ``[1 + R]``: first as it was measured, then in R resamples of the runs."""

    lowest: Array
    highest: Array  # infinite where too few runs have reached the score

    def __truediv__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.lowest / other.highest, self.highest / other.lowest)

    def text(self, write: Callable[[float], str]) -> str:
        """Write the number, or its bound, with its 95 % interval."""
        low, high = self.lowest[0], self.highest[0]
        if low == high:
            number = write(low)
        elif np.isinf(high):
            number = f"> {write(low)}" if low else NOTHING
        else:
            number = f"{write(low)} to {write(high)}" if low else f"< {write(high)}"
        start, end = bootstrap.bounds(self.lowest[1:])[0], bootstrap.bounds(self.highest[1:])[1]
        # one run has no interval, and runs of which none arrived have none but the bound
        if np.isnan(start) or (np.isinf(end) and start >= low):
            return number
        return f"{number} ({write(start)} to {'∞' if np.isinf(end) else write(end)})"


def median(values: Sequence[float], seed: int) -> Array:
    """Return ``[1 + R]``: the median of values, and those of resamples."""
    return np.concatenate([[np.median(values)], bootstrap.resampled_medians(values, seed)])


def frames_estimate(runs: Sequence[Games], score: float, seed: int) -> Estimate:
    """Return the median frames to a score."""
    reached = [frames_to(score, *games) for games in runs]
    at_least = [min(first, games.frames[-1]) for first, games in zip(reached, runs, strict=True)]
    return Estimate(median(at_least, seed), median(reached, seed))


def minutes_text(minutes: float) -> str:
    """Write minutes with one decimal where they are few."""
    return f"{minutes:,.0f}" if minutes >= 10 else f"{minutes:.1f}"


class Row(NamedTuple):
    """What is known of one entry."""

    label: str
    runs: Sequence[Games]  # at least one, each with at least one game
    rates: Sequence[float]  # frames/s of each round; empty: not measured


def table(rows: Mapping[str, Row], scores: Sequence[float], reference: str) -> str:
    """Return a Markdown table with a line for each entry; the ratios are to the minutes of the reference."""
    head = ["", "runs", "frames/s"]
    for score in scores:
        head += [f"reached {score:g}", f"frames to {score:g}", f"minutes to {score:g}", f"÷ {reference}"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    frames = {
        (name, score): frames_estimate(row.runs, score, seed)
        for seed, (name, row) in enumerate(rows.items(), RATE_SEED + 1)
        for score in scores
    }
    rates = {name: median(row.rates, RATE_SEED) for name, row in rows.items() if row.rates}
    minutes = {
        (name, score): found / Estimate(60 * rates[name], 60 * rates[name])
        for (name, score), found in frames.items()
        if name in rates
    }
    for name, row in rows.items():
        rate = f"{rates[name][0]:,.0f}" if name in rates else NOTHING
        cells = [row.label, str(len(row.runs)), rate]
        for score in scores:
            arrived = sum(np.isfinite(frames_to(score, *games)) for games in row.runs)
            cells += [f"{arrived} of {len(row.runs)}", frames[name, score].text(count)]
            cells += [minutes[name, score].text(minutes_text) if name in rates else NOTHING]
            cells += [_ratio(minutes, name, reference, score)]
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _ratio(minutes: Mapping[tuple[str, float], Estimate], name: str, reference: str, score: float) -> str:
    if name == reference or (name, score) not in minutes or (reference, score) not in minutes:
        return "1" if name == reference else NOTHING
    return (minutes[name, score] / minutes[reference, score]).text("{:.2f}".format)
