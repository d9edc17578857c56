"""The commands that print what is stored of runs: ``asyncrl ls`` and ``asyncrl show``."""

from typing import Annotated

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, Results, RunName, Where, print_json
from asyncrl.store import runs, summary
from asyncrl.store.query import no_runs_text
from asyncrl.store.sweeps import find_sweep
from asyncrl.sweeping import listing
from asyncrl.terminal import details, rendering
from asyncrl.terminal.console import console, write

commands = typer.Typer()

SweepName = Annotated[
    str | None,
    typer.Argument(metavar="[SWEEP]", help="A sweep, whose runs are listed. \\[default: all runs and sweeps]"),
]


@commands.command("ls", epilog="Example: asyncrl ls --where 'algo=a3c and threads>=4'")
def list_runs(
    sweep: SweepName = None, where: Where = None, results: Results = DEFAULT_RESULTS, as_json: AsJson = False
) -> None:
    """List runs, the last started first, and sweeps; or the runs of one sweep.

    With --where, sweeps are not listed.
    """
    place = results if sweep is None else find_sweep(results, sweep)
    found = summary.summaries(place, where)
    sweeps = [] if sweep or where else listing.summaries(place)
    if as_json:
        print_json([*found, *sweeps])
    elif found or sweeps:
        width = console().width
        tables = [rendering.runs_table(found, width) + rendering.damage_lines(found)] if found else []
        tables += [rendering.sweeps_table(sweeps, width) + rendering.damage_lines(sweeps)] if sweeps else []
        for i, table in enumerate(tables):
            write(*[""] * (i > 0), *table, soft_wrap=True)
    else:
        write(no_runs_text(place, where), soft_wrap=True)


@commands.command(epilog="Example: asyncrl show last")
def show(run: RunName = "last", results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """Show a run's settings, scores and status."""
    found = summary.details(runs.find(results, run))
    if as_json:
        print_json(found)
    else:
        write(*details.details_page(found, console().width))
