"""The commands that analyse many runs: ``asyncrl report`` and ``asyncrl export``."""

from pathlib import Path
from typing import Annotated

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, Compare, Results, SelectedNames, Where
from asyncrl.errors import InputError, requires_extra
from asyncrl.system import machine
from asyncrl.terminal import rendering
from asyncrl.terminal.console import console, waiting, write

commands = typer.Typer()


@commands.command(epilog="Example: asyncrl report --where 'env=pong' --out pong-report, or asyncrl report sweep:rates")
def report(
    names: SelectedNames = None,
    where: Where = None,
    compare: Compare = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="GAME=SCORE", help="The score that defines speed-ups: pong=-15; repeatable."),
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Use unfinished runs, too.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The directory of the page and its files. \\[default: report in RESULTS, or in the sweep]",
        ),
    ] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Compare runs: one page with the paper's figures and tables, beside published scores.

    The page is one file that works offline; the same as Markdown, and each figure and table as a file, are beside it.
    """
    with requires_extra("analysis"):
        from asyncrl.analysis.selection import Selection
        from asyncrl.report import gather as reporting
    selection = Selection(results, tuple(names or ()), where, tuple(compare or ()))
    request = reporting.Request(selection, out or selection.report_directory, tuple(reference or ()), unfinished)
    with waiting("Reading runs"):
        found = reporting.gather(request)
    with waiting("Plotting"):
        # The plotting libraries are slow to import, so mistakes are reported before.
        with requires_extra("analysis"):
            from asyncrl.report import publish
        page = publish.publish(found, machine.cores())
    write(*rendering.report(reporting.terminal_rows(found), found.notes, page, console().width), soft_wrap=True)


@commands.command(epilog="Example: asyncrl export --where env=pong --format csv --out pong/")
def export(
    names: SelectedNames = None,
    where: Where = None,
    compare: Compare = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The directory of the files.")] = Path("export"),
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    compact: Annotated[
        bool, typer.Option("--compact", help="Average metrics and episodes, to publish a sweep in a repository.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write runs as flat tables: runs, evaluations, metrics, episodes, failures and problems.

    With --compact the first four only, as Parquet; other commands read them like a sweep's directory.
    """
    with requires_extra("analysis"):
        from asyncrl.analysis import export as exporting
        from asyncrl.analysis import published
        from asyncrl.analysis.selection import Selection
    selection = Selection(results, tuple(names or ()), where, tuple(compare or ()))
    if compact and form != "parquet":
        raise InputError("--compact writes Parquet; leave out --format.")
    for file, rows in published.publish(selection, out) if compact else exporting.export(selection, out, form):
        write(f"{file}  {rows:,} rows", soft_wrap=True)
