"""Which settings vary between runs: those that labels name, and those that are an axis of a figure instead.

A numeric setting of which most runs have a value of their own, such as a learning rate that is drawn at random, is an
axis: a label for each value would name single runs. Every other setting that varies is in the labels, so that no mean
is over two values of it.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import pandas as pd

from asyncrl.config import RunConfig, field_names, flatten, is_setting
from asyncrl.store.columns import is_number

LEARNING_RATE = "optimizer.lr"
MIN_AXIS_VALUES = 5  # of which most runs have one of their own
MANY_VALUES = 8  # with more values a setting is an axis also where several runs, as of several seeds, share each value
OWN = 0.5  # distinct values per run of an axis, or per combination of settings, are more than this
IDENTITY = ("env", "algo")  # the task and the method
CLOCK = "clock"
SHARED = ("network", "optimizer.name", "frames", "envs_per_thread", "threads", CLOCK)  # across methods; never an axis
NAMED = (  # labels name each that varies; others only if these do not separate two runs, as they may follow from these
    *SHARED[:3], "t_max", "gamma", *SHARED[3:], LEARNING_RATE, "optimizer.clip", "entropy", "target_frames", "averaging"
)  # fmt: skip
GROUP = ""  # the column of task and method in a table of keys


class Varying(NamedTuple):
    """The settings that vary between runs of one task (shared ones), or of one task and method (all others)."""

    values: pd.DataFrame  # a row per run, a column per setting; a setting that a run lacks has its default
    labels: tuple[str, ...] = ()  # the settings that labels name
    axes: tuple[str, ...] = ()  # numeric settings over whose values labels average

    @property
    def numeric(self) -> list[str]:
        """Return the settings that vary and whose values are all numbers."""
        names = [name for name in (*self.labels, *self.axes) if is_setting(name)]
        known = field_names()
        names.sort(key=lambda name: (known.index(name) if name in known else len(known), name))
        return [name for name in names if self.values[name].map(is_number).all()]


def varying_settings(runs: pd.DataFrame) -> Varying:
    """Return what varies between runs, given their columns ``task``, ``algo`` and ``setting``."""
    found = [flatten(json.loads(text)[0]) for text in runs["setting"]]
    names = [name for name in dict.fromkeys(name for each in found for name in each) if name not in IDENTITY]
    rows = [[each.get(name, _defaults().get(name)) for name in names] for each in found]
    values = pd.DataFrame({name: [row[i] for row in rows] for i, name in enumerate(names)}, runs.index, dtype=object)
    keys = values.map(value_key)
    keys[GROUP] = runs["task"] + "\n" + runs["algo"].astype(str)
    varying = [name for name in names if _varies(keys[name], runs["task"] if name in SHARED else keys[GROUP])]
    everything = Varying(values, tuple(varying))
    axes = _axes(keys, everything.numeric, varying)
    return Varying(values, tuple(_separating(keys, [name for name in varying if name not in axes])), tuple(axes))


def value_key(value: object) -> str:
    """Return a text that is equal for equal values: 1 and 1.0 are."""
    return repr(float(value)) if is_number(value) and float(value) == value else json.dumps(value, sort_keys=True)


@cache
def _defaults() -> dict[str, Any]:
    return flatten(RunConfig().model_dump(mode="json"))


def _varies(keys: pd.Series, groups: pd.Series) -> bool:
    return bool((keys.groupby(groups).nunique() > 1).any())


def _axes(keys: pd.DataFrame, numeric: Sequence[str], varying: Sequence[str]) -> list[str]:
    """Return the numeric settings that are axes.

    Of the candidates, the one with the fewest values per run becomes a label until all others are axes among runs that
    are equal in their labels.
    """
    candidates = [name for name in numeric if name not in SHARED]
    while candidates:
        same = [GROUP, *(name for name in varying if name not in candidates)]
        points = len(keys.drop_duplicates([*same, *candidates]))
        distinct = keys.groupby(same)[candidates].nunique()
        total, most = distinct.sum(), distinct.max()
        is_own = (most >= MIN_AXIS_VALUES) & (total > OWN * len(keys))
        is_axis = is_own | (most > MANY_VALUES) & (total > OWN * points)
        if is_axis.all():
            break
        candidates.remove(min(candidates, key=lambda name: (is_axis[name], total[name], name == LEARNING_RATE)))
    return candidates


def _separating(keys: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the named settings of these, and then those that separate runs that the ones before do not."""
    chosen = [name for name in NAMED if name in names]
    groups = len(keys.drop_duplicates([GROUP, *chosen]))
    for name in sorted(set(names) - set(chosen)):
        more = len(keys.drop_duplicates([GROUP, *chosen, name]))
        if more > groups:
            chosen, groups = [*chosen, name], more
    return chosen
