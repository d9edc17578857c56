"""The command that checks the machine: ``asyncrl doctor``."""

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, On, Results, print_json
from asyncrl.terminal.console import write

commands = typer.Typer()


@commands.command(epilog="Example: asyncrl doctor")
def doctor(results: Results = DEFAULT_RESULTS, on: On = None, as_json: AsJson = False) -> None:
    """Check whether this machine can train, and print advice; exit code 1 if a check fails.

    With --on, check each node of a Ray cluster, too.
    """
    from asyncrl import doctor
    from asyncrl.cluster.connection import check_on

    if on is not None:
        check_on(on)
    checks = []
    for check in doctor.run_checks(results, on):
        checks.append(check)
        if not as_json:
            write(doctor.line(check))
    if as_json:
        print_json([check._asdict() for check in checks])
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)
