"""Labels of runs in figures and tables, made of the settings that vary (part of step "validity" of the pipeline)."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd

from asyncrl.config import flatten
from asyncrl.text import count

LABEL_FORMATS: dict[str, Callable[[Any], str]] = {  # formats of the settings in a label
    "network": str,
    "optimizer": str,
    "budget": lambda frames: f"{count(frames)} frames",
    "t_max": "t_max {:g}".format,
    "gamma": "γ {:g}".format,
    "envs_per_thread": "{:g} envs each".format,
    "threads": "{:g} threads".format,
}
# presets give each algorithm its own values, so labels name these only if runs of one method differ
METHOD_SETTINGS = ("t_max", "gamma")


def with_labels(runs: pd.DataFrame) -> pd.DataFrame:
    """Add columns of text that distinguish runs.

    ``task``: game and protocol. ``machine``: processor and cores; if runs differ in it, also whether compiled code was
    used. ``method``: the name of the run's set, or its algorithm if there are no sets. ``label``: the method and all
    other settings that vary; a set has one label. ``variant``: the label without the number of threads. ``setup``: the
    label without the optimiser.
    """

    def texts(make: Callable[[pd.Series], str]) -> pd.Series:
        return pd.Series([make(row) for _, row in runs.iterrows()], runs.index, dtype=object)

    runs = runs.assign(
        task=texts(lambda run: run["game"] if run["protocol"] == "gymnasium" else f"{run['game']}, {run['protocol']}"),
        machine=texts(lambda run: _machine(run, runs["compiled"].nunique(dropna=False) > 1)),
        method=texts(lambda run: _text_or_default(run["set"], run["algo"])),
    )
    varying = _varying_settings(runs)

    def labels(without: str = "") -> pd.Series:
        return texts(lambda run: _label(run, [name for name in varying if name != without]))

    return runs.assign(label=labels(), variant=labels("threads"), setup=labels("optimizer"))


def _machine(run: pd.Series, compiled_varies: bool) -> str:
    """Return a name of the machine, on which training time depends, from what is known."""
    if pd.isna(run["cpu"]) and pd.isna(run["usable_cores"]):
        return "unknown machine"
    words = [_text_or_default(run["cpu"], "unknown processor")]
    words += [f"{run['usable_cores']:g} cores"] if pd.notna(run["usable_cores"]) else []
    words += [COMPILED.get(run["compiled"], "unknown whether compiled")] if compiled_varies else []
    return ", ".join(words)


COMPILED = {True: "compiled", False: "not compiled"}


def _text_or_default(text: object, default: str) -> str:
    return text if isinstance(text, str) else default


def _varying_settings(runs: pd.DataFrame) -> list[str]:
    """Return the settings that labels must name: those that vary, and none if the user has named sets."""
    if runs["set"].notna().any():
        return []
    groups = {name: ["task", "method"] if name in METHOD_SETTINGS else ["task"] for name in LABEL_FORMATS}
    return [name for name, keys in groups.items() if (runs.groupby(keys)[name].nunique() > 1).any()]


def _label(run: pd.Series, names: list[str]) -> str:
    words = [LABEL_FORMATS[name](run[name]) for name in names if pd.notna(run[name])]
    return ", ".join([run["method"], *words]).replace(" 1 threads", " 1 thread").replace(" 1 envs", " 1 env")


def differing_settings(runs: pd.DataFrame) -> list[str]:
    """Return the dotted names of settings, except the seed, in which runs of one task and label differ."""
    names: set[str] = set()
    for _, group in runs.groupby(["task", "label"]):
        settings = [flatten(json.loads(text)[0]) for text in group["setting"].unique()]
        names |= {
            name for each in settings for name in each if any(each[name] != other.get(name) for other in settings)
        }
    return sorted(names)
