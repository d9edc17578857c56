"""What tells runs apart in figures and tables."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from asyncrl.config import flatten
from asyncrl.text import count

WORDS: dict[str, Callable[[Any], str]] = {  # of a label, by setting
    "network": str,
    "optimizer": str,
    "budget": lambda frames: f"{count(frames)} frames",
    "t_max": "t_max {:g}".format,
    "gamma": "γ {:g}".format,
    "envs_per_thread": "{:g} envs each".format,
    "threads": "{:g} threads".format,
}
OF_A_METHOD = ("t_max", "gamma")  # presets give each algorithm its own: named only where runs of one method differ


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """Add columns of text that tell runs apart.

    ``task``: game and protocol. ``machine``: processor and cores, and whether the compiled part was used where that
    varies. ``method``: its set or, without sets, its algorithm. ``label``: the method and what else varies; a set has
    one label. ``variant``: the label but for the number of threads. ``setup``: the label but for the optimiser.
    """

    def texts(make: Callable[[pd.Series], str]) -> pd.Series:
        return pd.Series([make(row) for _, row in runs.iterrows()], runs.index, dtype=object)

    runs = runs.assign(
        task=texts(lambda run: run["game"] if run["protocol"] == "gymnasium" else f"{run['game']}, {run['protocol']}"),
        machine=texts(lambda run: _machine(run, runs["compiled"].nunique(dropna=False) > 1)),
        method=texts(lambda run: _known(run["set"], run["algo"])),
    )
    varying = _varying(runs)

    def labels(without: str = "") -> pd.Series:
        return texts(lambda run: _label(run, [name for name in varying if name != without]))

    return runs.assign(label=labels(), variant=labels("threads"), setup=labels("optimizer"))


def _machine(run: pd.Series, compiled_varies: bool) -> str:
    """Name what hours depend on, as far as it is known."""
    if pd.isna(run["cpu"]) and pd.isna(run["usable_cores"]):
        return "unknown machine"
    words = [_known(run["cpu"], "unknown processor")]
    words += [f"{run['usable_cores']:g} cores"] if pd.notna(run["usable_cores"]) else []
    words += [COMPILED.get(run["compiled"], "compiled or not")] if compiled_varies else []
    return ", ".join(words)


COMPILED = {True: "compiled", False: "not compiled"}


def _known(text: object, otherwise: str) -> str:
    return text if isinstance(text, str) else otherwise


def _varying(runs: pd.DataFrame) -> list[str]:
    """Return the settings that tell methods apart: none where a person has named sets."""
    if runs["set"].notna().any():
        return []
    groups = {name: ["task", "method"] if name in OF_A_METHOD else ["task"] for name in WORDS}
    return [name for name, keys in groups.items() if (runs.groupby(keys)[name].nunique() > 1).any()]


def _label(run: pd.Series, names: list[str]) -> str:
    words = [WORDS[name](run[name]) for name in names if pd.notna(run[name])]
    return ", ".join([run["method"], *words]).replace(" 1 threads", " 1 thread").replace(" 1 envs", " 1 env")


def pooled(runs: pd.DataFrame) -> list[str]:
    """Return the settings besides the seed in which runs of one task and label differ, by their dotted names."""
    names: set[str] = set()
    for _, group in runs.groupby(["task", "label"]):
        settings = [flatten(json.loads(text)[0]) for text in group["setting"].unique()]
        names |= {
            name for each in settings for name in each if any(each[name] != other.get(name) for other in settings)
        }
    return sorted(names)
