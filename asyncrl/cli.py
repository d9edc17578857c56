"""The command line: it reads what a person typed, calls down, and prints what comes back."""

import json
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from asyncrl import config as configuration
from asyncrl.config import ALGOS, NETWORKS, RunConfig
from asyncrl.errors import UNWRITABLE, Exit, InputError
from asyncrl.store import provenance, runs, summary
from asyncrl.system import machine
from asyncrl.terminal import live, rendering

# Everything that imports torch is imported by the command that needs it: --help and ls answer at once.

app = typer.Typer(
    name="asyncrl",
    help="Asynchronous deep reinforcement learning on CPUs: many actor-learners, one network.\n\n"
    "Start with [bold]asyncrl run[/bold]: it trains an agent on Pong and shows how it goes. Each run becomes a "
    "directory in results/, which the other commands read.",
    epilog="RUN is a run's id, the beginning of one, its path, or [bold]last[/bold], the one started last.",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunName = Annotated[str, typer.Argument(metavar="RUN", help="An id, the beginning of one, a path, or 'last'.")]
RunNames = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN]...", help="Which runs, as elsewhere. \\[default: all]")
]
Where = Annotated[
    str | None, typer.Option(metavar="CONDITIONS", help="Settings, id or status: 'env=pong and status=finished'.")
]
Compare = Annotated[
    list[str] | None,
    typer.Option(metavar="LABEL:CONDITIONS", help="A set of runs under a name of yours; repeatable."),
]
Results = Annotated[
    Path, typer.Option("--results", metavar="DIR", envvar="ASYNCRL_RESULTS", help="The directory of all runs.")
]
Which = Annotated[
    str, typer.Option("--checkpoint", metavar="WHICH", help="The weights to play with: last, best, or a step.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DEFAULT_RESULTS = Path("results")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; a mistake of the user's ends it with one line, and an exit code that tells which."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without Unicode gets question marks
    warnings.showwarning = _warn
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # as it was set for the time of the imports
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:  # a scheduler's warning before a run has begun to listen
        signal.signal(signal.SIGUSR1, lambda *_: sys.exit(Exit.WARNED))
    try:
        code = app(arguments, prog_name="asyncrl", standalone_mode=False) or 0
    except InputError as error:
        code = _say(str(error), error.code)
    except typer.TyperException as error:  # an option or a command that there is not
        code = _say(error.format_message(), Exit.BAD_INPUT)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        code = _say(f"Cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror}.", Exit.DISK_FULL)
    _flush()
    sys.exit(code)


def _flush() -> None:
    """Leave unsaid what cannot be written, such as to a log on a full disk; Python would end with code 120."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, None)


def _warn(message: Warning | str, *place: Any, **more: Any) -> None:
    """Say what went wrong, not where in the code it was noticed."""
    _say(str(message), Exit.OK)


def _say(text: str, code: int) -> int:
    with suppress(OSError):  # a log on a full disk
        for line in text.splitlines():
            print(f"asyncrl: {line}", file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def _asyncrl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"asyncrl {provenance.versions()['asyncrl'] or 'from a source tree'}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command(epilog="Example: asyncrl run --env breakout --algo n-step-q --threads 8 --frames 4M --set t_max=20")
def run(
    algo: Annotated[str | None, typer.Option(help=f"The method: {', '.join(ALGOS)}. \\[default: a3c]")] = None,
    env: Annotated[
        str | None,
        typer.Option(
            help="An Atari game (pong, breakout …), a Gymnasium id (CartPole-v1), or your own pkg.module:factory. "
            "\\[default: pong]"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="The values under your own: 'paper', or 'fast', which learns sooner on few cores. \\[default: paper]"
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help=f"{', '.join(NETWORKS)}. \\[default: what fits the observations]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Actor-learners, one process each. \\[default: 16]")] = None,
    frames: Annotated[
        str | None, typer.Option(help="When to stop, over all threads: 10M, 4e6, 500k. \\[default: 10M on Atari]")
    ] = None,
    envs_per_thread: Annotated[
        int | None,
        typer.Option(help="Environments that each actor-learner steps together; more is faster. \\[default: 1]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, games and actions. \\[default: 1]")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file of settings, such as --dry-run prints.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as optimizer.lr=1e-3; repeatable."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    name: Annotated[str | None, typer.Option(help="The run's id. \\[default: made from the settings]")] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure where the time goes; 'asyncrl show' tells.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every setting as it would be, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON, for scripts.")] = False,
) -> None:
    """Train an agent, and show how it goes.

    Without options it trains A3C with 16 threads on Pong, with the paper's settings.

    Ctrl-C stops a run with a checkpoint, and [bold]asyncrl resume[/bold] goes on from there.
    """
    options = {
        "algo": algo,
        "env": env,
        "preset": preset,
        "network": network,
        "threads": threads,
        "frames": frames,
        "envs_per_thread": envs_per_thread,
        "seed": seed,
        "profile": profile or None,
    }
    table = configuration.merge(
        configuration.read_toml(config) if config else {},
        configuration.parse_set(settings or []),
        {key: value for key, value in options.items() if value is not None},
    )
    from asyncrl import experiment
    from asyncrl.training import job_builder

    resolved = job_builder.resolve(table)
    if dry_run:
        print(_json(resolved.model_dump(mode="json")) if as_json else summary.settings(resolved))
    else:
        _train(resolved, lambda show: experiment.train(resolved, results, name, show))


@app.command(epilog="Example: asyncrl resume last --frames 20M")
def resume(
    run: RunName = "last",
    frames: Annotated[str | None, typer.Option(help="A new budget: 20M, 4e6, 500k. \\[default: as it was]")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Go on with a run from its last checkpoint."""
    path = runs.find(results, run)
    config = configuration.build(runs.read_document(path).get("config", {}) | ({"frames": frames} if frames else {}))
    from asyncrl import experiment

    budget = config.frames if frames else None
    _train(config, lambda show: experiment.resume(path, budget, show))


def _train(config: RunConfig, start: Callable[[live.Show], Path]) -> None:
    from asyncrl.errors import RunFailed, Stopped

    console = Console()
    try:
        with live.live(config, console) as show:
            path = start(show)
    except RunFailed as failed:
        text = f"The run failed: {failed.reason}. See: asyncrl show {failed.run}"
        raise typer.Exit(_say(text, failed.code)) from None
    except Stopped as stopped:
        text = f"The run was {stopped}. Go on with: asyncrl resume {stopped.run}"
        raise typer.Exit(_say(text, stopped.code)) from None
    with suppress(OSError):
        console.print(rendering.outcome(summary.details(path)), highlight=False, soft_wrap=True)


@app.command("eval", epilog="Example: asyncrl eval last --checkpoint best --episodes 100")
def evaluate(
    run: RunName = "last",
    which: Which = "last",
    episodes: Annotated[int, typer.Option(min=1, help="Whole games, unclipped; all of them count.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of the games' starts and of the actions.")] = 1,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Play games with a run's weights, without learning, and add the scores to the run."""
    path = runs.find(results, run)
    with Console(stderr=True).status(f"Playing {episodes} games of {path.name}"):
        from asyncrl import experiment

        row = experiment.evaluate(path, which, episodes, seed)
    print(_json(row) if as_json else rendering.evaluated(row))


@app.command(epilog="Example: asyncrl record last --checkpoint best --out pong.gif --max-seconds 60")
def record(
    run: RunName = "last",
    which: Which = "last",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .mp4 or .gif. \\[default: RUN/<checkpoint>.mp4]")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Games, one after another.")] = 1,
    max_seconds: Annotated[float | None, typer.Option(min=1, help="Cut the video at this length.")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Make a video of a run's agent at play."""
    path = runs.find(results, run)
    file = out or path / f"{which}.mp4"
    with Console(stderr=True).status(f"Filming {path.name}"):
        from asyncrl import video

        scores = video.record(path, which, file, episodes, max_seconds)
    print(rendering.filmed(file, scores))


@app.command("ls", epilog="Example: asyncrl ls --where 'algo=a3c and threads>=4'")
def list_runs(
    where: Where = None,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """List the runs there are, the last started first."""
    found, console = summary.summaries(results, where), Console()
    if as_json:
        print(_json(found))
    else:
        console.print(rendering.runs_table(found, console.width) if found else rendering.no_runs(results, where))


@app.command(epilog="Example: asyncrl show last")
def show(run: RunName = "last", results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """Show what a run is, how it went, and how it ended."""
    found = summary.details(runs.find(results, run))
    if as_json:
        print(_json(found))
    else:
        Console().print(rendering.page(found), highlight=False)


@app.command(epilog="Example: asyncrl report --where 'env=pong' --out pong-report")
def report(
    names: RunNames = None,
    where: Where = None,
    compare: Compare = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="GAME=SCORE", help="The score that speed-ups are measured to: pong=-15; repeatable."),
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Count runs that have not finished, too.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the page and its files go. \\[default: RESULTS/report]")
    ] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Compare runs: one page with the paper's figures and tables, beside what was published.

    It needs no network and can be sent around; beside it stand the same as Markdown, and each figure and table by
    itself.
    """
    with _extra("analysis"):
        from asyncrl.analysis.selection import Selection
        from asyncrl.report import gather as reporting
    selection = Selection(results, tuple(names or ()), where, tuple(compare or ()))
    request = reporting.Request(selection, out or results / "report", tuple(reference or ()), unfinished)
    with Console(stderr=True).status("Reading runs"):
        found = reporting.gather(request)
    with Console(stderr=True).status("Drawing"):
        with _extra("analysis"):
            from asyncrl.report import publish  # late: what draws is slow to import, and a mistake needs none of it
        page = publish.publish(found, machine.cores())
    console = Console()
    console.print(rendering.report(reporting.terminal_rows(found), found.notes, page, console.width), highlight=False)


@app.command(epilog="Example: asyncrl export --where env=pong --format csv --out pong/")
def export(
    names: RunNames = None,
    where: Where = None,
    compare: Compare = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")] = Path("export"),
    form: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Write runs as flat tables: runs, evaluations, metrics, episodes, failures, and what is wrong with them."""
    with _extra("analysis"):
        from asyncrl.analysis import export as exporting
        from asyncrl.analysis.selection import Selection
    selection = Selection(results, tuple(names or ()), where, tuple(compare or ()))
    for file, rows in exporting.export(selection, out, form):
        print(f"{file}  {rows:,} rows")


@app.command(epilog="Example: asyncrl doctor")
def doctor(results: Results = DEFAULT_RESULTS, as_json: AsJson = False) -> None:
    """See whether this machine can train, and what to do where it cannot; exit code 1 if a check fails."""
    from asyncrl import doctor

    console, found = Console(), []
    for check in doctor.examine(results):
        found.append(check)
        if not as_json:
            console.print(doctor.line(check))
    if as_json:
        print(_json([check._asdict() for check in found]))
    if any(check.verdict == "fail" for check in found):
        raise typer.Exit(1)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra brings a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"This needs {error.name}: pip install 'asyncrl[{name}]'.") from None


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
