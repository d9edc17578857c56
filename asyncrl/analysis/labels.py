"""What tells runs apart in figures and tables."""

import json
from collections.abc import Callable

import pandas as pd

WORDS = {  # of a label, by setting
    "network": "{}",
    "optimizer": "{}",
    "envs_per_thread": "{:g} envs each",
    "threads": "{:g} threads",
}


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """Add columns of text that tell runs apart.

    ``task``: game and protocol. ``machine``: processor and cores. ``method``: its set or, without sets, its algorithm.
    ``variant``: the method and what else varies but the number of threads. ``label``: the variant and its threads,
    where these vary; a set has one label.
    """

    def texts(make: Callable[[pd.Series], str]) -> pd.Series:
        return pd.Series([make(row) for _, row in runs.iterrows()], runs.index, dtype=object)

    runs = runs.assign(
        task=texts(lambda run: run["game"] if run["protocol"] == "gymnasium" else f"{run['game']}, {run['protocol']}"),
        machine=texts(lambda run: f"{_known(run['cpu'], 'unknown processor')}, {run['usable_cores']:g} cores"),
        method=texts(lambda run: _known(run["set"], run["algo"])),
    )
    varying = _varying(runs)
    others = [name for name in varying if name != "threads"]
    return runs.assign(
        variant=texts(lambda run: _label(run, others)),
        label=texts(lambda run: _label(run, varying)),
    )


def _known(text: object, otherwise: str) -> str:
    return text if isinstance(text, str) else otherwise


def _varying(runs: pd.DataFrame) -> list[str]:
    """Return the settings that tell methods apart: none where a person has named sets."""
    if runs["set"].notna().any():
        return []
    return [name for name in WORDS if (runs.groupby("task")[name].nunique() > 1).any()]


def _label(run: pd.Series, names: list[str]) -> str:
    words = [WORDS[name].format(run[name]) for name in names]
    return ", ".join([run["method"], *words]).replace(" 1 threads", " 1 thread").replace(" 1 envs", " 1 env")


def pooled(runs: pd.DataFrame) -> list[str]:
    """Return the settings besides the seed in which runs of one task and label differ, by their dotted names."""
    names: set[str] = set()
    for _, group in runs.groupby(["task", "label"]):
        settings = [_flat(json.loads(text)[0]) for text in group["setting"].unique()]
        names |= {
            name for each in settings for name in each if any(each[name] != other.get(name) for other in settings)
        }
    return sorted(names)


def _flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
