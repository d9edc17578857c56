"""The command that lists environments: ``asyncrl envs``."""

from typing import Annotated

import typer

from asyncrl.cli.options import AsJson, print_json
from asyncrl.errors import InputError
from asyncrl.terminal.console import console, write

commands = typer.Typer()

Pattern = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]", help="A name as --env takes it, a part of one, or a pattern with * and ?. \\[default: all]"
    ),
]


@commands.command("envs", epilog="Example: asyncrl envs pong")
def list_environments(pattern: Pattern = "", as_json: AsJson = False) -> None:
    """List the environments that can be trained, and their presets.

    With a NAME it tells whether that environment can be trained, and otherwise why not. The exit code is 2 where no
    environment has the name, or none of those that have it is supported.
    """
    from asyncrl.envs import catalog
    from asyncrl.terminal import environments

    found = catalog.environments(pattern)
    if as_json:
        print_json([each._asdict() for each in found])
    if problems := catalog.problems(pattern, found):
        raise InputError(*problems)
    if not as_json:
        footer = catalog.note(pattern) if pattern else environments.OWN
        write(*environments.listing(found, footer, console().width))
