"""The command that lists environments: ``asyncrl envs``."""

from typing import Annotated

import typer

from asyncrl.cli.options import AsJson, print_json
from asyncrl.terminal.console import console, write

commands = typer.Typer()

Pattern = Annotated[
    str, typer.Argument(metavar="[PATTERN]", help="A part of a name, or a pattern with * and ?. \\[default: all]")
]


@commands.command("envs", epilog="Example: asyncrl envs pong")
def list_environments(pattern: Pattern = "", as_json: AsJson = False) -> None:
    """List the environments that can be trained, and their presets."""
    from asyncrl.envs import catalog
    from asyncrl.terminal import environments

    found = catalog.environments(pattern)
    if as_json:
        print_json([each._asdict() for each in found])
    else:
        write(*environments.listing(found, pattern, console().width))
