"""The Python interface, whose names are at the top of the package: ``asyncrl.train`` and others."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncrl import config as configuration
from asyncrl.errors import Exit, requires_extra
from asyncrl.run import Callback, Place, Run, find, is_main_thread, progress_view
from asyncrl.store import runs as stored
from asyncrl.terminal.console import console

if TYPE_CHECKING:
    from asyncrl.analysis.load import RunTables
    from asyncrl.policy import Policy


def train(
    algo: str = "a3c",
    env: str = "pong",
    *,
    results: Place = "results",
    name: str | None = None,
    callback: Callback | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train an agent, and return its run.

    A script that calls this must do so under ``if __name__ == "__main__":``, since every worker imports the script.

    Args:
        algo: ``a3c``, ``a2c``, ``n-step-q``, ``one-step-q``, ``one-step-sarsa``, or your own, ``"pkg.module:Learner"``.
        env: an Atari game (``"pong"``), a game of MinAtar (``"minatar/breakout"``), a Gymnasium id, or
            ``"pkg.module:factory"``.
        results: the directory of all runs.
        name: the run's id; None: made from the settings.
        callback: called a few times a second with a ``Progress``; training stops where it returns False, with a
            checkpoint, and the run's status is then ``interrupted``.
        progress: whether to print the progress to standard output.
        settings: all others by name, as in a file for ``asyncrl run --config``: ``threads=2``, ``frames="100k"``,
            ``optimizer={"lr": 1e-3}``, ``env_args={"size": 9}``.

    Raises:
        InputError: a setting is wrong; nothing was written.
        RunFailed: a worker failed, or the disk is full; the run can be resumed.
        Stopped: by a signal, such as Ctrl-C; the run can be resumed.
    """
    from asyncrl import experiment
    from asyncrl.training import job_builder

    if name is not None:
        stored.check_name(name)
    # A name with a dot, as in ``**{"optimizer.lr": 1e-3}``, is the same as a nested table.
    table = configuration.nested(configuration.flatten({"algo": algo, "env": env, **settings}))
    resolved, spec = job_builder.resolve(table)
    with progress_view(resolved, callback, progress) as show:
        path = experiment.train(resolved, Path(results), name, show, spec, is_main_thread())
    return Run(path)


def load(run: "Place | Run" = "last", checkpoint: str = "best", results: Place = "results") -> "Policy":
    """Return the policy of a run's checkpoint.

    Args:
        run: a Run, a directory, an id or the beginning of one, ``SWEEP/CELL``, or ``last``.
        checkpoint: ``best``, ``last`` or a step.
        results: the directory of all runs.

    Raises:
        InputError: there is no such run, or several.
        CheckpointError: there is no such checkpoint, or it is damaged.
    """
    return (run if isinstance(run, Run) else find(run, results)).load(checkpoint)


def runs(results: Place = "results", where: str | None = None, names: tuple[str, ...] = ()) -> "RunTables":
    """Return what is stored of runs as DataFrames: ``runs``, ``evaluations``, ``metrics``, ``episodes``, ``failures``.

    Args:
        results: the directory of all runs.
        where: conditions, as in ``asyncrl ls --where``: ``"algo=a3c and threads>=4"``; None: all runs.
        names: ids, beginnings of ids, or ``sweep:NAME``; empty: all runs in ``results``, without those of sweeps.

    Raises:
        InputError: a name or a condition is wrong, or the extra ``analysis`` is not installed.
    """
    with requires_extra("analysis"):
        from asyncrl.analysis.load import load as load_tables
        from asyncrl.analysis.selection import Selection
    return load_tables(Selection(Path(results), tuple(names), where))


def sweep(
    file: Place,
    *,
    results: Place = "results",
    name: str | None = None,
    jobs: int | None = None,
    confirm: int = 0,
    progress: bool = True,
) -> "RunTables":
    """Train all runs of a sweep that are not finished, and return its tables as ``runs`` does.

    Args:
        file: a TOML file, or the name of a sweep of the package, such as ``"small/figure1"``.
        results: the directory of all runs.
        name: the sweep's directory in ``results``; None: the name of the file.
        jobs: runs at once; None: as many as there are cores for.
        confirm: after a search, train its best settings on fresh seeds: how many.
        progress: whether to print the progress to standard output.

    Raises:
        InputError: the file is wrong, another process trains the sweep, or an extra is not installed: ``analysis``, and
            for searches ``sweeps``.
        KeyboardInterrupt: a signal stopped it; the same call continues.
    """
    with requires_extra("analysis"):
        # the tables at the end need it
        import_module("asyncrl.analysis.load")
    from asyncrl.sweeping import run as sweeping
    from asyncrl.terminal import sweeps as views

    request = sweeping.file_request(str(file), Path(results), name)
    root = request.root
    options = sweeping.Options(jobs, confirm=confirm)
    if progress:
        with views.overview(console(), root.name) as show:
            outcome = sweeping.run(request, show, options)
    else:
        outcome = sweeping.run(request, lambda state: None, options)
    if outcome.code not in (Exit.OK, Exit.SWEEP_INCOMPLETE):
        raise KeyboardInterrupt(f"the sweep was stopped (exit code {int(outcome.code)}); the same call continues it")
    if outcome.progress.failed:
        names = ", ".join(cell.name for cell, _ in outcome.progress.failed[:3])
        warnings.warn(f"{len(outcome.progress.failed)} runs of the sweep failed: {names}", stacklevel=2)
    return runs(results, names=(f"sweep:{root}",))
