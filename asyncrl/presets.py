"""Presets: the settings that replace the defaults, by preset, by kind of environment, and by algorithm."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from asyncrl.config import ALGOS, PRESETS, merge


@cache
def read_presets() -> dict[str, Any]:
    """Return the contents of presets.toml."""
    return tomllib.loads(files("asyncrl").joinpath("presets.toml").read_text(encoding="utf-8"))


def names(kind: str) -> tuple[str, ...]:
    """Return the presets that have a block for a kind of environment."""
    return tuple(name for name in PRESETS if kind in read_presets()[name])


def preset(name: str, kind: str, algo: str, presets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a preset, as a nested table.

    Every preset other than ``paper`` starts from ``paper``, and replaces only what its own block sets.

    Args:
        name: one of ``config.PRESETS``.
        kind: of environment: ``atari``, ``minatar``, ``image``, ``vector`` or ``continuous``.
        algo: one of ``config.ALGOS``.
        presets: the table of all presets; None: that of presets.toml.
    """
    presets = read_presets() if presets is None else presets
    merged: dict[str, Any] = {}
    for layer in dict.fromkeys(("paper", name)):
        block = presets[layer].get(kind, {})
        general = {key: value for key, value in block.items() if key not in ALGOS}
        merged = merge(merged, general, block.get(algo, {}))
    return merged
