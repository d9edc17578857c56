"""What the views of a run on several nodes say of its nodes."""

from collections.abc import Mapping

from asyncrl.config import RunConfig
from asyncrl.text import count, number
from asyncrl.training.progress import Progress

SHOWN = 4  # nodes with a rate of their own
STALENESS = "staleness_"  # columns of metrics begin with this


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
    """Return the rate of pushes, that of refused ones, and how stale those were that were applied."""
    rates = progress.pushes
    if not rates:
        return []
    made = {name.removeprefix("pushes_"): rate for name, rate in rates.items() if name.startswith("pushes_")}
    empty, applied = made.pop("empty", 0.0), made.pop("applied", 0.0)
    parts = [f"{number(empty + applied + sum(made.values()))} pushes/s"]
    if made:
        parts.append(f"{number(sum(made.values()))}/s refused: {', '.join(sorted(made)).replace('_', ' ')}")
    if applied:
        parts.append(f"staleness {_staleness(rates)}")
    return parts


def _staleness(rates: Mapping[str, float]) -> str:
    """Say which staleness half of the applied pushes, and all of them, did not exceed."""
    columns = [name for name in rates if name.startswith(STALENESS)]
    # each column counts the pushes from its own number to below its double
    counts = sorted((int(name.removeprefix(STALENESS)), rates[name]) for name in columns)
    total, seen = sum(rate for _, rate in counts), 0.0
    half, largest = counts[-1][0], counts[-1][0]
    for size, rate in counts:
        seen += rate
        if seen >= total / 2:
            half = size
            break
    return f"≤ {max(0, 2 * half - 1)} in half, ≤ {max(0, 2 * largest - 1)} in all"
