"""How ``asyncrl run --on`` and ``resume --on`` train: in a process that is started again where it was lost."""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from asyncrl import config as configuration
from asyncrl.cli.options import exiting
from asyncrl.cli.train import train
from asyncrl.cluster.connection import check_on, require_ray
from asyncrl.config import RunConfig
from asyncrl.store.settings import config_of
from asyncrl.system.child_process import end_with_parent

commands = typer.Typer()


def start(config: RunConfig, results: Path, name: str | None, on: str) -> None:
    """Train a new run on a cluster to its end, and exit with its code.

    Args:
        config: its settings.
        results: the directory of all runs.
        name: the run's id; None: made from the settings.
        on: see ``cluster.connection.connected``.

    Raises:
        InputError: Ray is not installed, or the run is simulated.
    """
    from asyncrl.store import runs
    from asyncrl.training import opening

    run = results / (name or runs.new_name(opening.stem(config)))
    later = _continuing(run, on)
    _supervise(run, {**later, "settings": config.model_dump(mode="json")}, later, config)


def go_on(run: Path, config: RunConfig, frames: int | None, trackers: Sequence[str] | None, on: str) -> None:
    """Continue a run on a cluster to its end, and exit with its code; ``frames`` and ``trackers`` as in resume.

    Raises:
        InputError: Ray is not installed, ``on`` is no cluster, or the run is simulated.
    """
    check_on(on)
    request = _continuing(run, on) | {"frames": frames, "trackers": trackers}
    _supervise(run, request, request, config)


def _continuing(run: Path, on: str) -> dict[str, Any]:
    return {"run": str(run), "on": on, "settings": None, "frames": None, "trackers": None}


def _supervise(run: Path, first: Mapping[str, Any], later: Mapping[str, Any], config: RunConfig) -> None:
    from asyncrl.cluster import restarts
    from asyncrl.training import nodes

    nodes.require_cluster(config, has_cluster=True)
    require_ray()
    with exiting():
        code = restarts.train(run, first, later, config.workers.restarts)
    if code:
        raise typer.Exit(code)


@commands.command("train-on-cluster", hidden=True)
def train_on_cluster() -> None:
    """Train the run that stdin describes, to its end: the process that has the parameter server."""
    request = json.load(sys.stdin)
    end_with_parent(request["parent"], signal.SIGKILL)
    from asyncrl import experiment
    from asyncrl.cluster import ray_nodes

    run = Path(request["run"])
    with ray_nodes.pools(request["on"]) as make_pool:
        if request["settings"] is not None:
            config = configuration.build(request["settings"])
            train(config, lambda show: experiment.train(config, run.parent, run.name, show, make_pool=make_pool))
        else:
            changes = {"frames": request["frames"], "trackers": request["trackers"], "make_pool": make_pool}
            train(config_of(run), lambda show: experiment.resume(run, show=show, **changes))
