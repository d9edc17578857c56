"""The parameters of a search in its study, and the settings that they stand for; without torch and Optuna."""

import json
from collections.abc import Mapping
from typing import Any

STUDY = "study.db"  # SQLite, in the directory of the sweep; optuna-dashboard opens it
# attributes of the study, each with the number of a trial
INVALID = "invalid-"  # that cannot be trained: the reason
PRUNED = "pruned-"  # that was stopped early: true
FAILED = "failed-"  # whose runs have failed: the part of them that did, up to 1
LINKED = " "  # joins linked names to the name of one parameter


def rank(number: int, value: float, attributes: Mapping[str, Any]) -> tuple[bool, float, float, int]:
    """Return the key that sorts the trials of a search, the best first; a trial whose runs have all failed comes last.

    Of trials with equal values, the first is the one with the smallest part of failed runs, then the earliest.

    Args:
        number: of the trial.
        value: of the trial.
        attributes: of the study.
    """
    stored = attributes.get(f"{FAILED}{number}")
    failed = float(stored) if isinstance(stored, int | float) else 0.0
    return failed >= 1, -value, failed, number


def settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name for the parameters of a trial; a parameter of a list holds the values as JSON."""
    settings: dict[str, Any] = {}
    for name, value in parameters.items():
        values = json.loads(value) if isinstance(value, str) else [value]
        settings |= dict(zip(name.split(LINKED), values, strict=True))
    return settings
