"""Option types that several commands share, and how commands print errors and JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncrl.cli.completion import run_names
from asyncrl.errors import RunFailed, Stopped
from asyncrl.store.atomic import plain
from asyncrl.terminal.console import write_error, write_lines

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", autocompletion=run_names, help="An id, the beginning of an id, a path, SWEEP/CELL, or 'last'."
    ),
]
SelectedNames = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        autocompletion=run_names,
        help="Ids, beginnings of ids, paths, or sweep:NAME. \\[default: all runs that are in no sweep]",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(metavar="CONDITIONS", help="Conditions on settings, id or status: 'env=pong and status=finished'."),
]
Compare = Annotated[
    list[str] | None,
    typer.Option(metavar="LABEL:CONDITIONS", help="A set of runs under a label; repeatable."),
]
Results = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="ASYNCRL_RESULTS", help="The directory of all runs.")
]
CheckpointName = Annotated[
    str, typer.Option("--checkpoint", metavar="WHICH", help="The checkpoint to play with: last, best, or a step.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
On = Annotated[
    str | None,
    typer.Option(
        metavar="CLUSTER",
        help="A Ray cluster: ray (that of this machine), or ray://HOST:PORT. \\[default: this machine alone]",
    ),
]
DEFAULT_RESULTS = Path("results")


def print_error(text: str, code: int) -> int:
    """Print a text as one line to standard error, and return the exit code."""
    write_error(text)
    return code


def print_json(value: Any) -> None:
    """Print a value as strict JSON, with numbers that are not finite as in the rows of a run."""
    # In ASCII: no encoding lacks it, and control characters are escaped.
    write_lines(json.dumps(plain(value), indent=2, allow_nan=False))


@contextmanager
def exiting() -> Iterator[None]:
    """Print why a run ended early, and exit with the code of the failure or the signal."""
    try:
        yield
    except RunFailed as failed:
        text = f"The run failed: {failed.reason}. See: asyncrl show {failed.run}"
        raise typer.Exit(print_error(text, failed.code)) from None
    except Stopped as stopped:
        text = f"The run was {stopped}. Continue with: asyncrl resume {stopped.run}"
        raise typer.Exit(print_error(text, stopped.code)) from None
