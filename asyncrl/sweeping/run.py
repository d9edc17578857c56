"""Trains a sweep, or previews it: what the command line and Python programs call."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tomli_w

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.envs.names import short_name
from asyncrl.errors import Exit, InputError, requires_extra
from asyncrl.store import atomic, runs, sweeps
from asyncrl.sweeping import cells, estimate, files, fresh_seeds
from asyncrl.sweeping.cell import Cell
from asyncrl.sweeping.declaration import ENVIRONMENTS, Declaration, parse, read
from asyncrl.sweeping.driver import Driver, Outcome
from asyncrl.sweeping.executors import LOGS, LocalProcesses
from asyncrl.sweeping.parameters import STUDY
from asyncrl.sweeping.plan import Resolver, expand, normalised
from asyncrl.sweeping.progress import Result, SweepProgress
from asyncrl.sweeping.source import FixedCells, Source
from asyncrl.text import escape

if TYPE_CHECKING:
    from asyncrl.sweeping.ray_tasks import RayTasks

BEST = "best.toml"  # in the directory of a search: the settings of its best trial
# the names of what a sweep without its declaration may hold, cells among them
OF_A_SWEEP = re.compile(
    rf"{re.escape(runs.LOCK)}|\.tmp-.*|{LOGS}|{cells.SET_ASIDE}|{re.escape(STUDY)}(-journal)?|{re.escape(BEST)}|report"
    r"|([\w.+=-]+-)?s\d+-[0-9a-f]{8}"
)

Show = Callable[[SweepProgress], None]


class Request(NamedTuple):
    """A sweep to train."""

    declaration: Declaration
    text: str  # of its file
    root: Path  # the directory of its cells


class Options(NamedTuple):
    """How to train it."""

    jobs: int | None = None  # runs at once; None: as many as there are cores for
    fail_fast: bool = False
    confirm: int = 0  # the number of best settings of a search to train on fresh seeds
    on: str | None = None  # a Ray cluster, see cluster.connection; None: this machine


def preview(request: Request, cores: int | None = None) -> dict[str, Any]:
    """Return the cells of a sweep with their states, the frames to go and the hours that they need; write nothing.

    Args:
        request: the sweep.
        cores: the number of cores to estimate for; None: those of this machine.

    Raises:
        InputError: the file is wrong, or does not fit the cells that are there.
    """
    declaration, root = request.declaration, request.root
    _check_place(root)
    resolver = Resolver()
    found = left = _cells_to_validate(declaration, resolver)
    cells.compare_declaration(root, declaration)
    trials = None
    if declaration.sweep.kind == "optuna":
        from asyncrl.sweeping import study

        example = found
        found, left, proposed = study.cells_to_preview(root, declaration, resolver)
        to_come = max(0, (declaration.sweep.n or 0) - proposed)
        trials = estimate.Trials(declaration.sweep.n or 0, proposed, example, to_come)
    cells.check_settings(root, found)
    return estimate.preview(root, found, left, trials, cores)


def _cells_to_validate(declaration: Declaration, resolver: Resolver) -> list[Cell]:
    if declaration.sweep.kind != "optuna":
        return expand(declaration, resolver)
    with requires_extra("sweeps"):
        from asyncrl.sweeping import study
    return study.validate(declaration, resolver)


def run(request: Request, show: Show, options: Options = Options()) -> Result:  # noqa: B008  # it is immutable
    """Train the cells of a sweep that are not finished; see ``Driver``.

    Raises:
        InputError: the file is wrong, the cells there belong to another sweep, or another driver runs it.
    """
    declaration, text, root = request
    _check_place(root)
    resolver = Resolver()
    is_search = declaration.sweep.kind == "optuna"
    if options.confirm and not is_search:
        raise InputError("--confirm trains the best settings of a search; this sweep is not of kind optuna.")
    found = _cells_to_validate(declaration, resolver)
    cells.compare_declaration(root, declaration)
    if not is_search:
        # before anything is written
        cells.check_settings(root, found)
    with _executor(options) as executor:
        _make(root)
        with runs.hold(root):
            atomic.delete_hidden(root)
            cells.keep_declaration(root, declaration, text)
            source = _source(request, found, resolver)
            outcome = Driver(root, source, executor, show, options.fail_fast).run()
    if not is_search:
        return Result(outcome.code, outcome.progress)
    return _end_of_search(request, outcome, show, options)


def _executor(options: Options) -> "LocalProcesses | RayTasks":
    if options.on is None:
        return LocalProcesses(options.jobs)
    from asyncrl.sweeping.ray_tasks import RayTasks

    return RayTasks(options.on, options.jobs)


def _source(request: Request, found: list[Cell], resolver: Resolver) -> Source:
    if request.declaration.sweep.kind == "optuna":
        from asyncrl.sweeping.search import Search

        return Search(request.root, request.declaration, resolver)
    return FixedCells(found, cells.check_settings(request.root, found))


def _end_of_search(request: Request, outcome: Outcome, show: Show, options: Options) -> Result:
    """Write the best settings, and train the best ones on fresh seeds if that was asked for."""
    from asyncrl.sweeping import confirmation, study

    declaration, _, root = request
    ranked = study.trials(root)
    left_out = tuple(study.left_out(root))
    if not ranked:
        return Result(outcome.code, outcome.progress, left_out=left_out)
    best = ranked[0]
    with suppress(OSError):
        atomic.replace_file(root / BEST, _best_file(declaration, best.settings).encode())
    told = {"trial": best.number, "value": best.value, "settings": best.settings, "file": str(root / BEST)}
    code = outcome.code
    has_failed = code is Exit.SWEEP_INCOMPLETE
    if not options.confirm or (has_failed and options.fail_fast) or not (has_failed or code is Exit.OK):
        return Result(code, outcome.progress, told, left_out=left_out)
    wanted = confirmation.best_trials(ranked, options.confirm)
    preset = confirmation.preset_settings(declaration, best.settings)
    other = confirmation.declare(declaration, [preset, *(trial.settings for trial in wanted)])
    text = tomli_w.dumps(confirmation.to_table(other))
    result = run(Request(other, text, fresh_seeds.place_of(root)), show, options._replace(confirm=0))
    confirmed = confirmation.compare(root, declaration, preset, wanted)
    return Result(result.code or code, outcome.progress, told, confirmed, left_out)


def _best_file(declaration: Declaration, settings: Mapping[str, Any]) -> str:
    """Return the text of a file for ``run --config``; it has the first environment of a search on several."""
    table = configuration.nested({**declaration.base, **settings})
    rows = declaration.choices.get(ENVIRONMENTS)
    if not rows:
        return tomli_w.dumps(table)
    others = ", ".join(escape(str(row[0])) for row in rows)
    return f"# Each trial of the search was trained on {others}. Another one: --env.\n" + tomli_w.dumps(
        {"env": rows[0][0], **table}
    )


def _check_place(root: Path) -> None:
    """Raise InputError for a directory of something else.

    A sweep that was killed early, or whose sweep.toml was removed, has no declaration: it is known by its entries.
    """
    if not os.path.lexists(root) or (sweeps.is_sweep(root) and not sweeps.is_published(root)):
        return
    try:
        others = [each.name for each in root.iterdir() if not OF_A_SWEEP.fullmatch(each.name)]
    except OSError as error:
        raise InputError(f"Cannot read {root}: {error.strerror}.") from None
    if others:
        raise InputError(f"{root} exists, and is not the directory of a sweep; choose another name (--name).")


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write results to {root}: {error.strerror}.") from None


def file_request(file: str, results: Path, name: str | None) -> Request:
    """Return the sweep of a file: ``asyncrl sweep``.

    Args:
        file: a TOML file, or the name of a sweep of the package.
        results: the directory of all runs.
        name: of the sweep's directory; None: the name of the file.

    Raises:
        InputError: there is no such file, it is wrong, or the name is not allowed.
    """
    found, path = files.find(file)
    declaration = read(path)
    try:
        runs.check_name(name or found)
    except InputError as error:
        raise InputError(str(error) if name else f"{error} Give it another name (--name).") from None
    return Request(declaration, path.read_text(encoding="utf-8"), results / (name or found))


def seeds_request(table: Mapping[str, Any], config: RunConfig, seeds: str, results: Path, name: str | None) -> Request:
    """Return the sweep of one setting over seeds: ``asyncrl run --seeds``.

    Args:
        table: the settings that the user gave, nested.
        config: the same with all defaults.
        seeds: such as ``5``, ``1-5`` or ``1,2,8``.
        results: the directory of all runs.
        name: of the sweep's directory; None: made from the settings, so that the same command continues the sweep.

    Raises:
        InputError: ``seeds`` is none of these, or the name is not allowed.
    """
    base = {key: value for key, value in table.items() if key != "seed"}
    # As in a file, 5 means five seeds.
    is_count = re.fullmatch(r"\d{1,9}", seeds) is not None
    text = tomli_w.dumps({"sweep": {"seeds": int(seeds) if is_count else seeds}, "base": base})
    try:
        declaration = parse(tomllib.loads(text))
    except InputError as error:
        raise InputError(str(error).replace("In [sweep], seeds", "--seeds", 1)) from None
    if name is None:
        digest = hashlib.sha256(json.dumps(normalised(declaration.base), sort_keys=True).encode()).hexdigest()[:8]
        name = f"{short_name(config.env)}-{config.algo}-{config.threads}t-{digest}"
    runs.check_name(name)
    return Request(declaration, text, results / name)
