"""The commands that train: ``asyncrl run`` and ``asyncrl resume``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncrl import config as configuration
from asyncrl.cli.completion import environments, of
from asyncrl.cli.options import DEFAULT_RESULTS, On, Results, RunName, exiting, print_json
from asyncrl.cluster.connection import check_on
from asyncrl.config import ALGOS, CLOCKS, NETWORKS, PRESETS, TRACKERS, RunConfig
from asyncrl.errors import InputError
from asyncrl.store import runs, summary
from asyncrl.store.settings import config_of
from asyncrl.system import output
from asyncrl.terminal import live, rendering
from asyncrl.terminal.console import console, write, write_lines
from asyncrl.training.progress import ShowProgress

if TYPE_CHECKING:
    from asyncrl.envs.base import Spec

commands = typer.Typer()

Algo = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(ALGOS),
        help=f"The algorithm: {', '.join(ALGOS)}, or your own pkg.module:Name. \\[default: a3c]",
    ),
]
Env = Annotated[
    str | None,
    typer.Option(
        autocompletion=environments,
        help="An Atari game (pong, breakout …), minatar/GAME, a Gymnasium id (CartPole-v1), or your own "
        "pkg.module:factory or pkg.module:Id-v0; 'asyncrl envs' lists them. \\[default: pong]",
    ),
]
EnvArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--env-arg",
        metavar="NAME=VALUE",
        help="An argument of gymnasium.make or of your factory, such as map_name=8x8; repeatable.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(PRESETS),
        help=f"The values that replace the defaults: {', '.join(PRESETS)}; 'fast' learns sooner on few cores. "
        "\\[default: paper]",
    ),
]
Network = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(NETWORKS),
        help=f"{', '.join(NETWORKS)}, or your own pkg.module:Name, also with -lstm. "
        "\\[default: chosen by the shape of observations]",
    ),
]
Threads = Annotated[int | None, typer.Option(help="Actor-learners, each a process by the wall clock. \\[default: 16]")]
Clock = Annotated[
    str | None,
    typer.Option(
        autocompletion=of(CLOCKS),
        help=f"{', '.join(CLOCKS)}: 'simulated' runs all actor-learners in one process by virtual time, and repeats "
        "bit for bit. \\[default: wall]",
    ),
]
Frames = Annotated[
    str | None, typer.Option(help="The budget, over all threads: 10M, 4e6, 500k. \\[default: 10M on Atari]")
]
EnvsPerThread = Annotated[
    int | None,
    typer.Option(help="Environments that each actor-learner steps together; more is faster. \\[default: 1]"),
]
Seed = Annotated[int | None, typer.Option(help="The seed of weights, environments and actions. \\[default: 1]")]
Seeds = Annotated[
    str | None,
    typer.Option(help="Several seeds: 5 (the first five), 2-5 or 1,2,8. The same command continues them."),
]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A TOML file of settings, such as --dry-run prints.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as optimizer.lr=1e-3; repeatable."),
]
Name = Annotated[str | None, typer.Option(help="The run's id. \\[default: made from the settings]")]
Trackers = Annotated[
    list[str] | None,
    typer.Option(
        "--tracker",
        metavar="NAME",
        autocompletion=of(TRACKERS),
        help="Pass metrics on: tensorboard, or your own module:factory; repeatable.",
    ),
]
Profile = Annotated[bool, typer.Option("--profile", help="Measure the time of each phase; 'asyncrl show' prints it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print all settings of the run, and stop.")]
DryRunAsJson = Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON, for scripts.")]
Nodes = Annotated[
    int | None,
    typer.Option(
        help="With --on, or in simulated time: machines, each with as many actor-learners as --threads. \\[default: 1]"
    ),
]
NewFrames = Annotated[str | None, typer.Option(help="A new budget: 20M, 4e6, 500k. \\[default: that of the run]")]


@commands.command(epilog="Example: asyncrl run --env breakout --algo n-step-q --threads 8 --frames 4M --set t_max=20")
def run(
    algo: Algo = None,
    env: Env = None,
    preset: Preset = None,
    network: Network = None,
    threads: Threads = None,
    frames: Frames = None,
    envs_per_thread: EnvsPerThread = None,
    seed: Seed = None,
    config: ConfigFile = None,
    settings: Settings = None,
    results: Results = DEFAULT_RESULTS,
    name: Name = None,
    profile: Profile = False,
    dry_run: DryRun = False,
    as_json: DryRunAsJson = False,
    seeds: Seeds = None,
    clock: Clock = None,
    env_args: EnvArgs = None,
    trackers: Trackers = None,
    on: On = None,
    nodes: Nodes = None,
) -> None:
    """Train an agent, and show the progress.

    Without options it trains A3C with 16 threads on Pong, with the paper's settings.

    Ctrl-C stops a run with a checkpoint, and [bold]asyncrl resume[/bold] continues it.
    """
    options = {
        "algo": algo, "env": env, "preset": preset, "network": network, "threads": threads, "frames": frames,
        "envs_per_thread": envs_per_thread, "seed": seed, "clock": clock, "profile": profile or None,
        "trackers": trackers or None,
        "env_args": env_args and configuration.parse_set(env_args, "--env-arg map_name=8x8"),
        "cluster": {"nodes": nodes} if nodes is not None else None,
    }  # fmt: skip
    if name is not None:
        runs.check_name(name)
    table = _merged(config, settings, options)
    if on is not None:
        check_on(on)
    from asyncrl.training import job_builder

    resolved, spec = job_builder.resolve(table)
    if seeds is not None:
        _train_seeds(table, resolved, seeds, results, name, seed, dry_run, on)
    if dry_run:
        _print_settings(resolved, as_json)
    elif seeds is None:
        _train_one(resolved, spec, results, name, on)


@commands.command(epilog="Example: asyncrl resume last --frames 20M")
def resume(
    run: RunName = "last",
    frames: NewFrames = None,
    results: Results = DEFAULT_RESULTS,
    trackers: Trackers = None,
    on: On = None,
) -> None:
    """Continue a run from its last checkpoint."""
    path = runs.find(results, run)
    config = config_of(path)
    if frames:
        config = configuration.build(config.model_dump() | {"frames": frames})
    budget = config.frames if frames else None
    if on is not None:
        from asyncrl.cli import on_cluster

        on_cluster.go_on(path, config, budget, trackers, on)
        return
    from asyncrl import experiment

    train(config, lambda show: experiment.resume(path, budget, show, trackers=trackers))


def _print_settings(config: RunConfig, as_json: bool) -> None:
    printed = configuration.with_periods(config)
    if as_json:
        print_json(printed.model_dump(mode="json"))
    else:
        write_lines(configuration.to_toml(printed))


def _merged(config: Path | None, settings: list[str] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a table; a later source of them replaces an earlier one."""
    return configuration.merge(
        configuration.read_toml(config) if config else {},
        configuration.parse_set(settings or []),
        {name: value for name, value in options.items() if value is not None},
    )


def _train_one(config: RunConfig, spec: "Spec", results: Path, name: str | None, on: str | None) -> None:
    """Train a new run on a cluster, or on this machine."""
    if on is not None:
        from asyncrl.cli import on_cluster

        on_cluster.start(config, results, name, on)
        return
    from asyncrl import experiment

    train(config, lambda show: experiment.train(config, results, name, show, spec))


def _train_seeds(
    table: Mapping[str, Any],
    config: RunConfig,
    seeds: str,
    results: Path,
    name: str | None,
    seed: int | None,
    dry_run: bool,
    on: str | None,
) -> None:
    """Train one setting with several seeds; with ``dry_run`` only check the seeds and the name."""
    from asyncrl.cli.sweep import execute
    from asyncrl.sweeping import run as sweeps

    if seed is not None:
        raise InputError("Give --seed or --seeds, not both.")
    request = sweeps.seeds_request(table, config, seeds, results, name)
    if not dry_run:
        execute(request, sweeps.Options(on=on))


def train(config: RunConfig, start: Callable[[ShowProgress], Path]) -> None:
    """Train with a live view, and print the outcome; exit with the code of a failure or a signal."""
    output.forgive()
    with exiting(), live.live_view(config, console()) as show:
        path = start(show)
    write(*rendering.outcome(summary.details(path)), soft_wrap=True)
