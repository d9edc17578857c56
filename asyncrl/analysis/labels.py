"""Labels of runs in figures and tables, made of the settings that vary (part of step "validity" of the pipeline)."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from asyncrl.analysis.identity import arguments
from asyncrl.analysis.varying import CLOCK, LEARNING_RATE, MANY_VALUES, Varying, value_key, varying_settings
from asyncrl.envs.names import GYMNASIUM, MINATAR
from asyncrl.store.columns import is_number
from asyncrl.store.document import SIMULATED
from asyncrl.text import count, counted, number, one_line

FORMATS: dict[str, Callable[[Any], str]] = {  # of numbers in a label
    "frames": lambda frames: f"{count(frames)} frames",
    "envs_per_thread": lambda envs: f"{envs:g} env{'s' * (envs != 1)} each",
    "threads": lambda threads: counted(threads, "thread"),
    "target_frames": lambda frames: f"target {count(frames)}",
}
SHORT_NAMES = {"gamma": "γ", LEARNING_RATE: "lr", "optimizer.clip": "clip", "network": "", "optimizer.name": ""}
NOT_NAMED = (GYMNASIUM, MINATAR)  # protocols that the name of the environment tells
MAX_WORDS = 8  # settings in a label; more are one word
MAX_VALUE = 40  # characters of a value in a label
MAX_LINES = MANY_VALUES  # of a panel
LINES_OF_BEST = 10  # runs of a label, from which the best of them have a line of their own


def with_labels(runs: pd.DataFrame) -> tuple[pd.DataFrame, Varying]:
    """Add columns of text that distinguish runs; return also what varies between them.

    ``task``: game, arguments and protocol; no mean is over several. ``machine``: processor and cores; if runs differ in
    it, also whether compiled code was used. ``method``: the name of the run's set, or its algorithm if there are no
    sets. ``label``: the method and all other settings that vary; a set has one label. ``variant``: the label without
    the number of threads. ``setup``: the label without the optimiser. ``panel`` and ``line``: as in ``facets``.
    """

    def texts(make: Callable[[pd.Series], str]) -> pd.Series:
        return pd.Series([make(row) for _, row in runs.iterrows()], runs.index, dtype=object)

    runs = runs.assign(
        task=texts(_task),
        machine=texts(lambda run: _machine(run, runs["compiled"].nunique(dropna=False) > 1)),
        method=texts(lambda run: _text_or_default(run["set"], run["algo"])),
    )
    varying = varying_settings(runs)
    if runs["set"].notna().any():
        # real and simulated time are never on one line
        kept = tuple(name for name in varying.labels if name == CLOCK)
        averaged = (name for name in varying.labels if name != CLOCK)
        varying = varying._replace(labels=kept, axes=(*averaged, *varying.axes))
    words = _words(varying)

    def labels(without: str = "") -> pd.Series:
        return _joined([runs["method"], *(words[name] for name in words if name != without)])

    runs = runs.assign(label=labels(), variant=labels("threads"), setup=labels("optimizer.name"))
    return facets(runs, varying), varying


def facets(runs: pd.DataFrame, varying: Varying, without: str = "") -> pd.DataFrame:
    """Add the panel of each run, and its line there: at most about ``MAX_LINES`` lines a panel.

    A panel is a task. If it had too many lines, there is one for each method; if these still have too many, one for
    each value of the setting with the fewest values, and so on; the last setting stays in the lines.

    Args:
        runs: with the columns of ``with_labels``, ``panel`` and ``line`` excepted.
        varying: what varies between all runs.
        without: a setting that neither panels nor lines name.
    """
    words = _words(varying, runs.index).drop(columns=without, errors="ignore")
    parts = {"": runs["method"], **words}
    order = ["", *sorted(words, key=lambda name: words[name].nunique())]
    panels, lines = runs["task"], _joined(list(parts.values()))
    # The last part stays in the lines.
    for i in range(1, len(order)):
        if _most_lines(panels, lines) <= MAX_LINES:
            break
        panels = runs["task"] + ": " + _joined([parts[name] for name in order[:i]])
        lines = _joined([parts[name] for name in parts if name in order[i:]])
    return runs.assign(panel=panels, line=lines)


def _most_lines(panels: pd.Series, names: pd.Series) -> int:
    """Return the number of lines of the fullest panel, with those of the best runs of a label."""
    runs = names.groupby([panels, names]).size()
    lines = 1 + (runs >= LINES_OF_BEST)
    return int(lines.groupby(level=0).sum().max()) if len(lines) else 0


def _joined(words: Sequence[pd.Series]) -> pd.Series:
    """Return the words of each run, separated by commas."""
    first, *rest = words
    for word in rest:
        first = first + ", " + word
    return first


def _words(varying: Varying, index: pd.Index | None = None) -> pd.DataFrame:
    """Return the word of each run for each setting in its label; different values have different words."""
    values = varying.values if index is None else varying.values.loc[index]
    names = varying.labels if len(varying.labels) <= MAX_WORDS else varying.labels[: MAX_WORDS - 1]
    words = {name: varying.values[name].map(_word_format(name, varying.values[name])) for name in names}
    if rest := varying.labels[len(names) :]:
        keys = varying.values[list(rest)].map(value_key).agg("\n".join, axis=1)
        numbers = {key: i for i, key in enumerate(dict.fromkeys(keys), 1)}
        words["rest"] = keys.map(lambda key: f"{len(rest)} more settings, set {numbers[key]}")
    return pd.DataFrame(words, varying.values.index, dtype=object).loc[values.index]


def _word_format(name: str, values: pd.Series) -> Callable[[Any], str]:
    """Return a function that writes a value of a setting: as short as values stay different."""
    by_key = {value_key(value): value for value in values}
    for write in (_short, _exact):
        words = {key: write(name, value) for key, value in by_key.items()}
        if len(set(words.values())) == len(words):
            break
    else:
        words = {key: f"{one_line(name, MAX_VALUE)} no. {i}" for i, key in enumerate(by_key, 1)}
    return lambda value: words[value_key(value)]


def _short(name: str, value: Any) -> str:
    if is_number(value):
        return FORMATS[name](value) if name in FORMATS else _word(name, number(value))
    if isinstance(value, list) and all(map(is_number, value)):
        return _word(name, "/".join(map(number, value)))
    return _word(name, "none" if value is None else value if isinstance(value, str) else json.dumps(value))


def _exact(name: str, value: Any) -> str:
    return _word(name, f"{value:,}" if is_number(value) else value if isinstance(value, str) else json.dumps(value))


def _word(name: str, text: str) -> str:
    return f"{one_line(SHORT_NAMES.get(name, name), MAX_VALUE)} {one_line(text, MAX_VALUE)}".strip()


def _task(run: pd.Series) -> str:
    protocol = "" if run["protocol"] in NOT_NAMED else run["protocol"]
    return ", ".join(filter(None, (run["game"], arguments(json.loads(run["setting"])[0]), protocol)))


def _machine(run: pd.Series, compiled_varies: bool) -> str:
    """Return a name of the machine, on which training time depends, from what is known."""
    if run["clock"] == SIMULATED:
        return "simulated time"
    if pd.isna(run["cpu"]) and pd.isna(run["usable_cores"]):
        return "unknown machine"
    words = [_text_or_default(run["cpu"], "unknown processor")]
    words += [f"{run['usable_cores']:g} cores"] if pd.notna(run["usable_cores"]) else []
    words += [COMPILED.get(run["compiled"], "unknown whether compiled")] if compiled_varies else []
    return ", ".join(words)


COMPILED = {True: "compiled", False: "not compiled"}


def _text_or_default(text: object, default: str) -> str:
    return text if isinstance(text, str) else default
