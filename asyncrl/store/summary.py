"""What is known of runs, as plain tables: from the store, for scripts and for pages."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncrl.config import RunConfig
from asyncrl.store import rows, runs

RECENT = 100  # games in a mean score
COUNTS = ("frames", "steps", "updates", "seconds")  # on every row, and in run.json whenever a checkpoint is saved

Facts = dict[str, Any]


def settings(config: RunConfig) -> str:
    """Write a configuration as the TOML that ``--config`` reads."""
    table = config.model_dump(mode="json")
    parts = {name: value for name, value in table.items() if isinstance(value, dict)}
    blocks = [_toml({name: value for name, value in table.items() if name not in parts})]
    blocks += [f"[{name}]\n{_toml(part)}" for name, part in parts.items()]
    return "\n\n".join(blocks)


def _toml(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps('none' if value is None else value)}" for key, value in table.items())


def summaries(root: Path, where: str | None) -> list[Facts]:
    """Return a few facts about each run, the last started first."""
    return [_summary(run, document) for run, document in runs.select(root, where)]


def _summary(run: Path, document: Mapping[str, Any]) -> Facts:
    config = document.get("config", {})
    evaluations = rows.read_rows(run, "evaluations")
    return {
        "id": run.name,
        "path": str(run),
        **{name: config.get(name) for name in ("env", "algo", "threads", "seed")},
        "frames": _counts(run, document)["frames"],
        "budget": config.get("frames"),
        "evaluation": evaluations[-1]["mean"] if evaluations else None,
        "status": document.get("status"),
        "started": started(document),
    }


def details(run: Path) -> Facts:
    """Return all that ``asyncrl show`` tells about a run: run.json and what its rows come to."""
    document = runs.current_document(run)
    metrics = rows.read_rows(run, "metrics")
    episodes = rows.read_rows(run, "episodes")
    return {
        "path": str(run),
        **document,
        **_counts(run, document),
        "started": started(document),
        "changed": changed(document.get("config", {})),
        "metrics": metrics[-1] if metrics else None,
        "profile": _profile(metrics),
        "evaluations": rows.read_rows(run, "evaluations"),
        "failures": rows.read_rows(run, "failures"),
        "learning": learning([row["score"] for row in episodes]),
        "workers": _by_worker(episodes),
    }


def _profile(metrics: list[Facts]) -> dict[str, float]:
    """Return the mean µs a step that each phase of the workers' loop took, where a run was profiled."""
    totals: Facts = defaultdict(float)
    steps = before = 0
    for row in metrics:
        phases = {name.removesuffix("_us"): value for name, value in row.items() if name.endswith("_us")}
        done, before = max(0, row["steps"] - before), row["steps"]  # a resumed run may begin anew
        steps += done if phases else 0
        for phase, value in phases.items():
            totals[phase] += value * done
    return {phase: total / steps for phase, total in totals.items() if steps}


def started(document: Mapping[str, Any]) -> str | None:
    """Return when a run was started, in ISO format."""
    when = (document.get("provenance") or {}).get("started")
    return when if isinstance(when, str) else None


def changed(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings that are not the defaults, by dotted name."""
    usual, actual = _flat(RunConfig().model_dump(mode="json")), _flat(config)
    different = {name: value for name, value in actual.items() if value != usual.get(name)}
    return {name: {"value": value, "default": usual.get(name)} for name, value in different.items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Facts:
    flat: Facts = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _counts(run: Path, document: Mapping[str, Any]) -> Facts:
    """Return how far a run is; of one that goes on, or was cut off, its rows know better than its document."""
    known = {name: document.get(name, 0) for name in COUNTS}
    metrics = rows.read_rows(run, "metrics") if document.get("status") in ("running", "crashed") else []
    return {name: metrics[-1][name] for name in COUNTS} if metrics else known


def learning(scores: list[float]) -> Facts | None:
    """Return how training games went: the mean of the first 100 and the last 100, and whether they got better."""
    scores = [score for score in scores if math.isfinite(score)]
    if len(scores) < 3 * RECENT:
        return None
    first, before, last = scores[:RECENT], scores[-2 * RECENT : -RECENT], scores[-RECENT:]
    return {
        "games": len(scores),
        "first": statistics.fmean(first),
        "last": statistics.fmean(last),
        "has_improved": _is_above(last, first),
        "is_rising": _is_above(last, before),
    }


def _is_above(scores: list[float], others: list[float]) -> bool:
    """Say whether a mean is above another by more than two standard errors."""
    error = math.sqrt(statistics.pvariance(scores) / len(scores) + statistics.pvariance(others) / len(others))
    return statistics.fmean(scores) - statistics.fmean(others) > 2 * error


def _by_worker(episodes: list[Facts]) -> list[Facts]:
    by_worker: dict[int, list[Facts]] = defaultdict(list)
    for row in episodes:
        by_worker[row["worker"]].append(row)
    return [{"worker": worker, **_games(by_worker[worker])} for worker in sorted(by_worker)]


def _games(episodes: list[Facts]) -> Facts:
    scores = [row["score"] for row in episodes]
    recent = scores[-RECENT:]
    return {
        "games": len(scores),
        "last": scores[-1],
        "mean": sum(recent) / len(recent),
        "best": max(scores),
        "epsilon": episodes[-1]["epsilon"],
    }
