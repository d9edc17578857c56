"""Trains the best settings of a search on fresh seeds, beside the settings that the search started from.

The best of many trials owes its value partly to luck; its score on seeds that the search did not see is the fair one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asyncrl import config
from asyncrl.sweeping import objective
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import INDEX, Declaration, parse
from asyncrl.sweeping.plan import Resolver, expand
from asyncrl.sweeping.progress import Confirmed

FRESH_SEEDS = 10
RESAMPLES = 10_000  # of the bootstrap
CONFIDENCE = 0.95


def declare(searched: Declaration, best: Sequence[dict[str, Any]]) -> Declaration:
    """Return a grid sweep of the preset's settings and the best ones, over seeds that the search did not use."""
    names = sorted(best[0])
    first = searched.choices.get(("env",), ((searched.base.get("env"),),))[0][0]
    base = dict(searched.base) | ({"env": first} if first else {})
    preset = Resolver().cell({key: value for key, value in base.items() if key not in names}, {}, 1).config
    flat = config.flatten(preset.model_dump(mode="json"))
    rows = [
        ["none" if flat[name] is None else flat[name] for name in names],
        *([each[name] for name in names] for each in best),
    ]
    unique = [list(row) for row in dict.fromkeys(map(tuple, rows))]
    used = searched.sweep.seeds if searched.sweep.seeds != INDEX else ()
    start = max((seed for seed in used if isinstance(seed, int)), default=0) + 1
    key = ", ".join(names)
    vary: dict[str, Any] = {key: unique if len(names) > 1 else [row[0] for row in unique]}
    if ("env",) in searched.choices:
        vary["env"] = [row[0] for row in searched.choices["env",]]
    seeds = list(range(start, start + FRESH_SEEDS))
    return parse({"sweep": {"seeds": seeds}, "base": config.nested(searched.base), "vary": vary})


def to_table(declaration: Declaration) -> dict[str, Any]:
    """Return the tables of the file that declares a grid sweep."""
    vary = {
        ", ".join(names): [list(row) if len(names) > 1 else row[0] for row in rows]
        for names, rows in declaration.choices.items()
    }
    assert not isinstance(declaration.sweep.seeds, str)
    return {"sweep": {"seeds": list(declaration.sweep.seeds)}, "base": config.nested(declaration.base), "vary": vary}


def compare(
    root: Path, searched: Declaration, confirming: Declaration, values: Sequence[float]
) -> tuple[Confirmed, ...]:
    """Return the preset's settings and the best ones with the means of the objective over the fresh seeds."""
    groups: dict[str, list[Cell]] = {}
    for cell in expand(confirming):
        settings = {name: value for name, value in cell.varied.items() if name != "env"}
        groups.setdefault(repr(settings), []).append(cell)
    scores = [score for group in groups.values() for cell in group for _, score in objective.curve(root / cell.name)]
    worst = min(scores, default=0.0)
    found = []
    for i, group in enumerate(groups.values()):
        runs = [(root / cell.name, cell.config) for cell in group]
        means = np.array(objective.means_of_seeds(runs, searched.sweep, worst))
        rng = np.random.default_rng(1)
        resampled = rng.choice(means, (RESAMPLES, len(means))).mean(axis=1)
        low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        settings = {} if i == 0 else {name: value for name, value in group[0].varied.items() if name != "env"}
        value = values[i - 1] if 0 < i <= len(values) else None
        found.append(Confirmed(settings, value, float(means.mean()), float(low), float(high), len(means)))
    return tuple(found)
