"""The rates of a run on several nodes: a line of the live view, and a part of a line of the log."""

from collections.abc import Mapping
from itertools import accumulate

from asyncrl.config import RunConfig
from asyncrl.text import count, number
from asyncrl.training.progress import Progress

SHOWN = 4  # nodes with a rate of their own
PUSHES, STALENESS = "pushes_", "staleness_"  # columns of metrics begin with these


def node_rates(config: RunConfig, progress: Progress) -> str:
    """Return the rates of pushes, and the steps a second of each node; empty for a run without nodes."""
    nodes = config.cluster.nodes
    if nodes == 1 and not progress.pushes:
        return ""
    share = max(1, len(progress.workers) // nodes)
    rates = [
        sum(worker.steps_per_second for worker in progress.workers[node * share : (node + 1) * share])
        for node in range(nodes)
    ]
    shown = " · ".join(count(rate) for rate in rates[:SHOWN])
    more = f" · {count(sum(rates[SHOWN:]))} of {nodes - SHOWN} others" if nodes > SHOWN else ""
    return "   ".join([*push_rates(progress), f"{shown}{more} steps/s"])


def push_rates(progress: Progress) -> list[str]:
    """Return the rate of pushes with a gradient, that of refused ones, and the staleness of applied ones."""
    rates = {name.removeprefix(PUSHES): rate for name, rate in progress.pushes.items() if name.startswith(PUSHES)}
    if not rates:
        return []
    # nodes also send these while workers are parked and the training clock is stopped, so that their rate is not known
    rates.pop("empty", None)
    applied, refused = rates.pop("applied", 0.0), sum(rates.values())
    parts = [f"{number(applied + refused)} pushes/s"]
    if rates:
        parts.append(f"{number(refused)}/s refused: {', '.join(sorted(rates)).replace('_', ' ')}")
    if applied:
        parts.append(f"staleness {_staleness(progress.pushes)}")
    return parts


def _staleness(rates: Mapping[str, float]) -> str:
    """Return two bounds of the staleness of applied pushes: that of half of them, and that of all."""
    counts = sorted(
        (int(name.removeprefix(STALENESS)), rate) for name, rate in rates.items() if name.startswith(STALENESS)
    )
    sizes, seen = [size for size, _ in counts], list(accumulate(rate for _, rate in counts))
    half = next(size for size, so_far in zip(sizes, seen, strict=True) if so_far >= seen[-1] / 2)
    # each column counts the pushes from its own number to below its double
    return f"≤ {max(0, 2 * half - 1)} in half, ≤ {max(0, 2 * sizes[-1] - 1)} in all"
