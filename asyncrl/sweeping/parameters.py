"""The parameters of a search in its study, and the settings that they stand for; without torch and Optuna."""

import json
from collections.abc import Mapping
from typing import Any

STUDY = "study.db"  # SQLite, in the directory of the sweep; optuna-dashboard opens it
INVALID = "invalid-"  # with the number of a trial that cannot be trained: an attribute of the study, the reason
LINKED = " "  # joins linked names to the name of one parameter


def settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name for the parameters of a trial; a parameter of a list holds the values as JSON."""
    settings: dict[str, Any] = {}
    for name, value in parameters.items():
        values = json.loads(value) if isinstance(value, str) else [value]
        settings |= dict(zip(name.split(LINKED), values, strict=True))
    return settings
