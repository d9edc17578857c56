"""The ``asyncrl`` command: its subcommands in the order of the help, and the exit code of every error.

Modules that import torch are imported inside the commands that need them, so that ``--help`` and ``ls`` stay quick.
"""

import codecs
import errno
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from asyncrl.cli import doctor, envs, mistakes, on_cluster, play, report, runs, sweep, train
from asyncrl.cli.options import print_error
from asyncrl.errors import UNWRITABLE, Exit, InputError
from asyncrl.store import provenance
from asyncrl.system import output
from asyncrl.terminal.console import ignore_absurd_sizes
from asyncrl.text import replace_unencodable

app = typer.Typer(
    name="asyncrl",
    help="Asynchronous deep reinforcement learning on CPUs: many actor-learners train one network.\n\n"
    "Start with [bold]asyncrl run[/bold]: it trains an agent on Pong and shows the progress. Each run is a "
    "directory in results/, which the other commands read.",
    epilog="RUN is a run's id, the beginning of an id, a path, or [bold]last[/bold] for the run started last.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (train, on_cluster, sweep, play, runs, report, envs, doctor):
    app.add_typer(group.commands)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; an error of the user prints one line and sets the exit code."""
    codecs.register_error("asyncrl", replace_unencodable)
    output.guard(errors="asyncrl")
    ignore_absurd_sizes()
    warnings.showwarning = _print_warning
    _set_signal_handlers()
    try:
        code = app(arguments, prog_name="asyncrl", standalone_mode=False) or 0
    except InputError as error:
        code = [print_error(str(mistake), error.code) for mistake in error.args][-1]
    except typer.TyperException as error:  # an unknown option or command, or a bad value
        code = print_error(mistakes.explain(error), Exit.BAD_INPUT)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        file = f" {error.filename}" if error.filename else ""
        is_input = error.errno == errno.ENAMETOOLONG
        code = print_error(f"Cannot write{file}: {error.strerror}.", Exit.BAD_INPUT if is_input else Exit.DISK_FULL)
    lost = output.failure()
    if lost is not None and not code:
        code = print_error(f"Cannot write: {lost.strerror}.", Exit.DISK_FULL)
    sys.exit(code)


def _set_signal_handlers() -> None:
    """Set the handlers that hold until a run installs its own."""
    # __main__ set SIG_DFL for the time of the imports.
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A scheduler may send SIGUSR1 as a warning before it ends the job.
    if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(Exit.WARNED))


def _print_warning(message: Warning | str, *place: Any, **more: Any) -> None:
    """Print a warning without the line of code that raised it."""
    print_error(str(message), Exit.OK)


@app.callback(invoke_without_command=True)
def _asyncrl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"asyncrl {provenance.versions()['asyncrl'] or 'from a source tree'}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
