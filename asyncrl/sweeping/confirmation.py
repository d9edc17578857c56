"""Trains the best settings of a search on fresh seeds, beside the settings that the search started from.

The best of many trials owes its value partly to luck; its score on seeds that the search did not see is the fair one.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asyncrl import config
from asyncrl.analysis import bootstrap
from asyncrl.sweeping import fresh_seeds
from asyncrl.sweeping.cell import Flat
from asyncrl.sweeping.declaration import ENVIRONMENTS, INDEX, Declaration, parse
from asyncrl.sweeping.plan import Resolver
from asyncrl.sweeping.progress import Confirmed
from asyncrl.sweeping.study import SearchTrial

FRESH_SEEDS = 10


def best_trials(ranked: Sequence[SearchTrial], count: int) -> list[SearchTrial]:
    """Return the best trials whose settings differ; ``ranked`` has the best first."""
    distinct: dict[str, SearchTrial] = {}
    for trial in ranked:
        distinct.setdefault(repr(sorted(trial.settings.items())), trial)
    return list(distinct.values())[:count]


def preset_settings(searched: Declaration, names: Iterable[str]) -> Flat:
    """Return the values that settings have where the search does not set them."""
    first = searched.choices.get(ENVIRONMENTS, ((searched.base.get("env"),),))[0][0]
    base = dict(searched.base) | ({"env": first} if first else {})
    flat = config.flatten(Resolver().cell(base, {}, 1).config.model_dump(mode="json"))
    return {name: "none" if flat[name] is None else flat[name] for name in names}


def declare(searched: Declaration, wanted: Sequence[Flat]) -> Declaration:
    """Return a grid sweep of some settings, all with the same names, over seeds that the search did not use."""
    names = sorted(wanted[0])
    # by their JSON, since a value may be a list
    distinct = {json.dumps(row): row for row in ([settings[name] for name in names] for settings in wanted)}
    rows = list(distinct.values())
    used = searched.sweep.seeds if searched.sweep.seeds != INDEX else ()
    start = max((seed for seed in used if isinstance(seed, int)), default=0) + 1
    vary: dict[str, Any] = {", ".join(names): rows if len(names) > 1 else [row[0] for row in rows]}
    if ENVIRONMENTS in searched.choices:
        vary["env"] = [row[0] for row in searched.choices[ENVIRONMENTS]]
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


def compare(root: Path, searched: Declaration, preset: Flat, best: Sequence[SearchTrial]) -> tuple[Confirmed, ...]:
    """Return the preset's settings and the best ones with the means of the objective over the fresh seeds.

    Args:
        root: the directory of the search.
        searched: its declaration.
        preset: ``preset_settings``.
        best: ``best_trials``.
    """
    found = fresh_seeds.means(root, searched, [preset, *(trial.settings for trial in best)])
    told: list[tuple[Flat, float | None]] = [({}, None), *((trial.settings, trial.value) for trial in best)]
    confirmed = []
    for (settings, value), each in zip(told, found, strict=True):
        if each:
            interval = bootstrap.aggregate({"": each}, bootstrap.mean)
            confirmed.append(Confirmed(settings, value, interval.value, interval.low, interval.high, len(each)))
    return tuple(confirmed)
