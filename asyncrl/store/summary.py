"""Summaries of runs as plain dictionaries, read from the store: for ``asyncrl ls``, ``asyncrl show`` and scripts."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncrl import floats, presets
from asyncrl.config import PRESETS, build, flatten
from asyncrl.envs.names import MINATAR
from asyncrl.errors import InputError
from asyncrl.events import RECENT_EPISODES
from asyncrl.store import query, rows, runs
from asyncrl.store.columns import COLUMNS
from asyncrl.store.document import PROGRESS_COLUMNS, RunDocument, Status
from asyncrl.store.sweeps import is_published

Row = dict[str, Any]
Summary = dict[str, Any]  # one run in the output of `asyncrl ls --json`
Details = dict[str, Any]  # the output of `asyncrl show --json`


def summaries(root: Path, where: str | None) -> list[Summary]:
    """Return a summary of each run that fulfils the conditions, the last started first."""
    found = [(run, RunDocument.model_validate(document)) for run, document in query.select(root, where)]
    if is_published(root):
        from asyncrl.store import published

        means = published.means(root)
        return [_summary(run, document, means.get(run.name, []), _counters(document)) for run, document in found]
    return [_read_summary(*pair) for pair in found]


def _read_summary(run: Path, document: RunDocument) -> Summary:
    evaluations: list[Row] = []
    progress = _counters(document)
    if document.status != Status.DAMAGED:
        try:
            evaluations, progress = rows.valid_rows(run, "evaluations").rows, _progress(run, document)
        # The run was removed or damaged in this moment.
        except InputError as error:
            document = RunDocument(status=Status.DAMAGED, reason=str(error))
    return _summary(run, document, [row["mean"] for row in evaluations], progress)


def _counters(document: RunDocument) -> dict[str, Any]:
    return {name: getattr(document, name) for name in PROGRESS_COLUMNS}


def _summary(run: Path, document: RunDocument, means: Sequence[float], progress: Mapping[str, Any]) -> Summary:
    return {
        "id": run.name,
        "path": str(run),
        **{name: document.config.get(name) for name in ("env", "algo", "threads", "seed")},
        "frames": progress["frames"],
        "budget": document.config.get("frames"),
        "evaluation": means[-1] if means else None,
        "best": max((mean for mean in means if not math.isnan(mean)), default=None),
        "status": document.status,
        "reason": document.reason,
        "started": document.provenance.started,
    }


def details(run: Path) -> Details:
    """Return the fields of run.json, as ``asyncrl show`` prints them, with statistics of the run's rows.

    Raises:
        InputError: the run is damaged.
    """
    fields = runs.current_document(run)
    document = RunDocument.model_validate(fields)
    found = {name: rows.valid_rows(run, name) for name in COLUMNS}
    metrics, episodes = found["metrics"].rows, found["episodes"].rows
    return {
        "path": str(run),
        **fields,
        **_progress(run, document),
        "started": document.provenance.started,
        "changed": changed(document.config, document.protocol),
        "metrics": metrics[-1] if metrics else None,
        "profile": _profile(metrics),
        "evaluations": found["evaluations"].rows,
        "failures": found["failures"].rows,
        "damaged_rows": {f"{name}.jsonl": each.damaged for name, each in found.items() if each.damaged},
        "learning": learning([row["score"] for row in episodes]),
        "workers": _by_worker(episodes),
    }


def _profile(metrics: list[Row]) -> dict[str, float]:
    """Return the mean time of each phase of the workers' loop, in µs a step; empty if the run was not profiled."""
    totals: dict[str, float] = defaultdict(float)
    steps = before = 0
    for row in metrics:
        phases = {name.removesuffix("_us"): value for name, value in row.items() if name.endswith("_us")}
        # A resumed run may go back in steps.
        done, before = max(0, row["steps"] - before), row["steps"]
        steps += done if phases else 0
        for phase, value in phases.items():
            totals[phase] += (value or 0.0) * done
    return {phase: total / steps for phase, total in totals.items() if steps}


def changed(config: Mapping[str, Any], protocol: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings that the user set, by dotted name: ``{"t_max": {"value": …, "default": …}}``.

    They are those that differ from the defaults with the run's preset. run.json does not name the kind of environment
    for which the preset was read; it is the one that leaves the fewest differences.
    """
    actual = flatten(config)
    kinds: tuple[str, ...] = ("vector", "continuous", "image", "atari")
    if protocol is not None and (named := protocol.partition("-")[0]) in ("atari", MINATAR):
        kinds = (named,)
    found = []
    for kind in kinds:
        defaults = _defaults(config, kind)
        different = {name: value for name, value in actual.items() if value != defaults.get(name)}
        found.append({name: {"value": value, "default": defaults.get(name)} for name, value in different.items()})
    return min(found, key=len)


def _defaults(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the settings of a run for which the user set nothing but its preset and its method."""
    name, algo = str(config.get("preset", "paper")), str(config.get("algo"))
    preset = presets.preset(name, kind, algo) if name in PRESETS else {}
    return flatten(build(preset).model_dump(mode="json"))


def _progress(run: Path, document: RunDocument) -> dict[str, Any]:
    """Return the progress columns of a run.

    Those of a running or crashed run are taken from its last row of metrics: run.json is older, from its last
    checkpoint.
    """
    is_open = document.status in (Status.RUNNING, Status.CRASHED)
    metrics = rows.valid_rows(run, "metrics").rows if is_open else []
    return {name: metrics[-1][name] if metrics else getattr(document, name) for name in PROGRESS_COLUMNS}


def learning(scores: list[float]) -> dict[str, Any] | None:
    """Compare the first and the last 100 training episodes: their mean scores, and whether the score improved."""
    scores = [score for score in scores if math.isfinite(score)]
    n = RECENT_EPISODES
    if len(scores) < 3 * n:
        return None
    first, before, last = scores[:n], scores[-2 * n : -n], scores[-n:]
    return {
        "games": len(scores),
        "first": floats.mean(first),
        "last": floats.mean(last),
        "has_improved": _is_above(last, first),
        "is_rising": _is_above(last, before),
    }


def _is_above(scores: list[float], others: list[float]) -> bool:
    """Return whether a mean is above another by more than two standard errors."""
    error = math.hypot(*(floats.std(each) / math.sqrt(len(each)) for each in (scores, others)))
    return floats.mean(scores) - floats.mean(others) > 2 * error


def _by_worker(episodes: list[Row]) -> list[dict[str, Any]]:
    by_worker: dict[int, list[Row]] = defaultdict(list)
    for row in episodes:
        by_worker[row["worker"]].append(row)
    return [{"worker": worker, **_episode_statistics(by_worker[worker])} for worker in sorted(by_worker)]


def _episode_statistics(episodes: list[Row]) -> dict[str, Any]:
    scores = [row["score"] for row in episodes]
    recent = scores[-RECENT_EPISODES:]
    return {
        "games": len(scores),
        "last": scores[-1],
        "mean": floats.mean(recent),
        "best": max((score for score in scores if not math.isnan(score)), default=math.nan),
        "epsilon": episodes[-1]["epsilon"],
    }
