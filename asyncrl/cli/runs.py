"""The commands that print what is stored of runs: ``asyncrl ls`` and ``asyncrl show``."""

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, Results, RunName, Where, print_json
from asyncrl.store import runs, summary
from asyncrl.store.query import no_runs_text
from asyncrl.terminal import details, rendering
from asyncrl.terminal.console import console, write

commands = typer.Typer()


@commands.command("ls", epilog="Example: asyncrl ls --where 'algo=a3c and threads>=4'")
def list_runs(where: Where = None, results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """List runs, the last started first."""
    found = summary.summaries(results, where)
    if as_json:
        print_json(found)
    elif found:
        write(*rendering.runs_table(found, console().width), soft_wrap=True)
        write(*rendering.damage_lines(found), soft_wrap=True)
    else:
        write(no_runs_text(results, where), soft_wrap=True)


@commands.command(epilog="Example: asyncrl show last")
def show(run: RunName = "last", results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """Show a run's settings, scores and status."""
    found = summary.details(runs.find(results, run))
    if as_json:
        print_json(found)
    else:
        write(*details.details_page(found, console().width))
