"""The command that checks the machine: ``asyncrl doctor``."""

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, Results, print_json
from asyncrl.terminal.console import write

commands = typer.Typer()


@commands.command(epilog="Example: asyncrl doctor")
def doctor(results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """Check whether this machine can train, and print advice; exit code 1 if a check fails."""
    from asyncrl import doctor

    checks = []
    for check in doctor.run_checks(results):
        checks.append(check)
        if not as_json:
            write(doctor.line(check))
    if as_json:
        print_json([check._asdict() for check in checks])
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)
