"""The commands that train many runs: ``asyncrl sweep``, and the command of each of its processes."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, On, Results, print_json
from asyncrl.cli.train import train
from asyncrl.errors import InputError
from asyncrl.store import runs
from asyncrl.store.settings import config_of
from asyncrl.system.child_process import end_with_parent
from asyncrl.terminal.console import console, write

if TYPE_CHECKING:
    from asyncrl.sweeping.run import Options, Request

commands = typer.Typer()

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A TOML file, or the name of a sweep of the package: figure2.")
]
Name = Annotated[str | None, typer.Option(help="The sweep's directory in RESULTS. \\[default: the name of the file]")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cells, what is done, and the hours to go; stop.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Runs at once, also more than cores. \\[default: as many as there are cores for]"
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop all runs at the first that fails.")]
Cores = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="With --dry-run: estimate the hours on so many cores.")
]
Confirm = Annotated[
    int, typer.Option(min=0, max=1000, metavar="K", help="After a search: train its best K settings on fresh seeds.")
]
HELD_SECONDS = 120.0  # for a process of a killed driver, which still saves its checkpoint


@commands.command(epilog="Example: asyncrl sweep small/figure1 --dry-run")
def sweep(
    file: File,
    results: Results = DEFAULT_RESULTS,
    name: Name = None,
    dry_run: DryRun = False,
    jobs: Jobs = None,
    fail_fast: FailFast = False,
    confirm: Confirm = 0,
    cores: Cores = None,
    as_json: AsJson = False,
    on: On = None,
) -> None:
    """Train all runs of a file: a grid, random draws, or a search with Optuna.

    Stopped or killed at any time, the same command continues: it skips finished runs and resumes begun ones.
    """
    from asyncrl.cluster.connection import check_on
    from asyncrl.sweeping import run

    if on is not None:
        check_on(on)
    request = run.file_request(file, results, name)
    if dry_run:
        plan = run.preview(request, cores)
        if as_json:
            print_json(plan)
        else:
            from asyncrl.terminal import sweeps as views

            write(views.preview(plan))
        return
    execute(request, run.Options(jobs, fail_fast, confirm, on))


def execute(request: "Request", options: "Options") -> None:
    """Train a sweep with the overview, and exit with its code."""
    from asyncrl.sweeping import run
    from asyncrl.terminal import sweeps as views

    with views.overview(console(), request.root.name) as show:
        outcome = run.run(request, show, options)
    write(*views.outcome(outcome, request.root), soft_wrap=True)
    if outcome.code:
        raise typer.Exit(int(outcome.code))


@commands.command("train-cell", hidden=True)
def train_cell() -> None:
    """Train the cell of a sweep that stdin describes, to its end: what a driver starts."""
    request = json.load(sys.stdin)
    # A driver that dies ends its runs, with checkpoints.
    end_with_parent(request["parent"], signal.SIGTERM)
    if request["bound_to"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["bound_to"])
    from asyncrl import experiment
    from asyncrl.sweeping import cells
    from asyncrl.training import job_builder

    root, run = Path(request["root"]), Path(request["root"]) / request["name"]
    deadline = time.monotonic() + HELD_SECONDS
    while runs.is_held(run):
        if time.monotonic() > deadline:
            raise InputError(f"{run.name} is being trained by another process.")
        time.sleep(0.1)
    if cells.prepare(run):
        train(config_of(run), lambda show: experiment.resume(run, show=show))
        return
    resolved, spec = job_builder.resolve(request["table"])
    train(
        resolved,
        lambda show: experiment.train(resolved, root, request["name"], show, spec, tags=request["tags"]),
    )
