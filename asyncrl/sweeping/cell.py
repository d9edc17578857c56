"""One run of a sweep, and how text names it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asyncrl.config import RunConfig

Flat = dict[str, Any]  # settings by dotted name


class Cell(NamedTuple):
    """One run of a sweep."""

    name: str  # of its directory
    identity: str  # the hash of base, varied settings and seed
    varied: Flat
    seed: int
    table: dict[str, Any]  # nested: what ``run --config`` would read
    config: RunConfig  # with all defaults


def describe(varied: Mapping[str, Any]) -> str:
    """Return varied settings as text: ``algo=a3c, optimizer.lr=0.001``."""
    return ", ".join(f"{name}={value_text(value)}" for name, value in varied.items())


def value_text(value: object) -> str:
    """Return the value of a setting as short text."""
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
