"""Which settings make two runs the same experiment, apart from the seed."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from asyncrl.store.document import SIMULATED
from asyncrl.text import printable

# but see below
IGNORED = ("seed", "log_seconds", "profile", "trackers", "checkpoints", "workers", "clock", "simulated")
AUTO = "auto"  # of workers.turns, also in runs of earlier versions
MAX_ARGUMENTS = 60  # characters of a task's arguments; of longer ones the end is their digest


def identity(config: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in which equal runs are equal.

    Those of simulated time count in simulated runs only: there a checkpoint is a barrier, and costs, which differ
    between versions, are named by their digest.
    """
    # Runs of earlier versions have no arguments of environments.
    setting = {name: value for name, value in config.items() if name not in IGNORED and (name != "env_args" or value)}
    turns = _mapping(config, "workers").get("turns", AUTO)
    setting |= {} if turns == AUTO else {"workers": {"turns": turns}}
    if config.get("clock") != SIMULATED:
        return setting
    simulated, costs = _mapping(config, "simulated"), document.get("costs")
    if isinstance(costs, Mapping):
        simulated = {**simulated, "costs": _digest(costs)}
    every = _mapping(config, "checkpoints").get("every")
    return setting | {"clock": SIMULATED, "simulated": dict(simulated), "checkpoints": {"every": every}}


def arguments(setting: Mapping[str, Any]) -> str:
    """Return the arguments of a run's environment as in TOML, ``size=9, goal="left"``; different ones differ."""
    args = _mapping(setting, "env_args")
    words = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(args.items())]
    text = printable(", ".join(words))
    return text if len(text) <= MAX_ARGUMENTS else f"{text[:MAX_ARGUMENTS]}… ({_digest(args)})"


def _digest(table: Mapping[str, Any]) -> str:
    return sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _mapping(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an inner table, empty if it is damaged."""
    inner = table.get(name)
    return inner if isinstance(inner, Mapping) else {}
