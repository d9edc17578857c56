"""The commands that train: ``asyncrl run`` and ``asyncrl resume``."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from asyncrl import config as configuration
from asyncrl.cli.options import DEFAULT_RESULTS, Results, RunName, print_error, print_json
from asyncrl.config import ALGOS, NETWORKS, PRESETS, RunConfig
from asyncrl.events import ShowProgress
from asyncrl.store import runs, summary
from asyncrl.store.document import RunDocument, read_document
from asyncrl.terminal import live, rendering

commands = typer.Typer()

PRESET_HELP = f"The values that replace the defaults: {', '.join(PRESETS)}; 'fast' learns sooner on few cores."
ENV_HELP = "An Atari game (pong, breakout …), a Gymnasium id (CartPole-v1), or your own pkg.module:factory."


@commands.command(epilog="Example: asyncrl run --env breakout --algo n-step-q --threads 8 --frames 4M --set t_max=20")
def run(
    algo: Annotated[str | None, typer.Option(help=f"The algorithm: {', '.join(ALGOS)}. \\[default: a3c]")] = None,
    env: Annotated[str | None, typer.Option(help=f"{ENV_HELP} \\[default: pong]")] = None,
    preset: Annotated[str | None, typer.Option(help=f"{PRESET_HELP} \\[default: paper]")] = None,
    network: Annotated[
        str | None, typer.Option(help=f"{', '.join(NETWORKS)}. \\[default: chosen by the observations]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Actor-learners, one process each. \\[default: 16]")] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="The budget, over all threads: 10M, 4e6, 500k. \\[default: 10M on Atari]"),
    ] = None,
    envs_per_thread: Annotated[
        int | None,
        typer.Option(help="Environments that each actor-learner steps together; more is faster. \\[default: 1]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The seed of weights, environments and actions. \\[default: 1]")
    ] = None,
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
        bool, typer.Option("--profile", help="Measure the time of each phase; 'asyncrl show' prints it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print all settings of the run, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON, for scripts.")] = False,
) -> None:
    """Train an agent, and show the progress.

    Without options it trains A3C with 16 threads on Pong, with the paper's settings.

    Ctrl-C stops a run with a checkpoint, and [bold]asyncrl resume[/bold] continues it.
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
    _run(_settings_table(config, settings, options), results, name, dry_run, as_json)


def _settings_table(file: Path | None, assignments: list[str] | None, options: dict[str, object]) -> dict[str, object]:
    """Merge the settings of a file, of --set, and of the options; a later source replaces an earlier one."""
    given = {key: value for key, value in options.items() if value is not None}
    return configuration.merge(
        configuration.read_toml(file) if file else {}, configuration.parse_set(assignments or []), given
    )


def _run(table: dict[str, object], results: Path, name: str | None, dry_run: bool, as_json: bool) -> None:
    from asyncrl import experiment

    config = experiment.resolve(table)
    if not dry_run:
        _train(config, lambda show: experiment.train(config, results, name, show))
    elif as_json:
        print_json(config.model_dump(mode="json"))
    else:
        print(configuration.to_toml(config))


@commands.command(epilog="Example: asyncrl resume last --frames 20M")
def resume(
    run: RunName = "last",
    frames: Annotated[
        str | None, typer.Option(help="A new budget: 20M, 4e6, 500k. \\[default: that of the run]")
    ] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Continue a run from its last checkpoint."""
    path = runs.find(results, run)
    document = RunDocument.model_validate(read_document(path))
    config = configuration.build(document.config | ({"frames": frames} if frames else {}))
    from asyncrl import experiment

    budget = config.frames if frames else None
    _train(config, lambda show: experiment.resume(path, budget, show))


def _train(config: RunConfig, start: Callable[[ShowProgress], Path]) -> None:
    """Train with a live view, and print the outcome; exit with the code of a failure or a signal."""
    from asyncrl.system.stop_signals import RunFailed, Stopped

    console = Console()
    try:
        with live.live(config, console) as show:
            path = start(show)
    except RunFailed as failed:
        text = f"The run failed: {failed.reason}. See: asyncrl show {failed.run}"
        raise typer.Exit(print_error(text, failed.code)) from None
    except Stopped as stopped:
        text = f"The run was {stopped}. Continue with: asyncrl resume {stopped.run}"
        raise typer.Exit(print_error(text, stopped.code)) from None
    with suppress(OSError):
        console.print(rendering.outcome(summary.details(path)), highlight=False, soft_wrap=True)
