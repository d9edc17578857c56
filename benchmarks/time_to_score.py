"""Minutes of training to a score, beside other libraries: ``python -m benchmarks.time_to_score``.

``train`` trains one entry with one seed; killed or stopped at any time, the same command goes on. It may run beside
other work, since only its frames count. ``rates`` measures the frames per second of all entries on a machine without
other work. ``table`` divides the frames to each score by the rates.
"""

import json
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

import asyncrl
from asyncrl import text
from asyncrl.cli import mistakes
from asyncrl.config import Atari
from asyncrl.envs.make import describe
from asyncrl.envs.names import short_name
from asyncrl.errors import UNWRITABLE, Exit, InputError, RunFailed, Stopped, needs
from asyncrl.run import Run
from asyncrl.store import atomic, runs
from asyncrl.store.columns import is_number
from asyncrl.sweeping import cells
from benchmarks import speed
from benchmarks.entries import ENTRIES, REFERENCE, Library
from benchmarks.peers import GAME
from benchmarks.recording import Recording, frames_to, last_checkpoint, mean_scores, read_games
from benchmarks.score_table import Games, Row, table

EVERY = 200_000  # frames between two checkpoints
MARGIN = 500_000  # frames that a training goes on after it has reached the highest score
CHECK_SECONDS = 20.0  # between two readings of the games of a run of asyncrl
SCORES = [0.0, 18.0]  # of Pong, from −21 to 21
MAX_SEED = 2**32 - 1  # of numpy

EntryName = StrEnum("EntryName", [(name, name) for name in ENTRIES])

app = typer.Typer(help=__doc__, pretty_exceptions_enable=False, add_completion=False)
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="the directory of the trainings and the rates")]
Scores = Annotated[list[float], typer.Option("--score", help="a mean of the last 100 training games; repeatable")]
Env = Annotated[str, typer.Option(help="the environment; the budgets and scores are those of Pong")]


def training_name(entry: str, env: str, seed: object) -> str:
    """Return the name of the directory of a training; for the seed ``*``, the pattern of all seeds."""
    return f"{entry}-{short_name(env)}-s{seed}"


def rates_file(folder: Path, env: str) -> Path:
    """Return the file of the rates on an environment."""
    return folder / f"rates-{short_name(env)}.json"


class Goal(NamedTuple):
    """When a training ends."""

    folder: Path
    budget: int  # frames
    score: float

    def check(self, frames: int) -> bool:
        """Print a line, and return whether a training of so many frames has used its budget or is past the score."""
        ends, scores = read_games(self.folder)
        means = mean_scores(scores)
        mean = f", mean of the last 100 games {text.score(means[-1])}" if len(means) else ""
        state = f"{text.count(frames)} of {text.count(self.budget)} frames, {text.counted(len(scores), 'game')}"
        print(f"{self.folder.name}: {state}{mean}", flush=True)
        return frames >= min(self.budget, frames_to(self.score, ends, scores) + MARGIN)


def train_asyncrl(settings: dict[str, Any], env: str, seed: int, every: int, goal: Goal) -> None:
    """Begin or continue a run of asyncrl; it ends where the goal is met."""
    checked = time.monotonic()

    def goes_on(progress: Any) -> bool:
        nonlocal checked
        if time.monotonic() - checked < CHECK_SECONDS:
            return True
        checked = time.monotonic()
        return not goal.check(progress.frames)

    if runs.is_held(goal.folder):
        raise InputError(f"{goal.folder.name} is being trained by another process.")
    if cells.prepare(goal.folder):
        if goal.check(cells.frames(goal.folder)):
            return
        Run(goal.folder).resume(goal.budget, goes_on, progress=False)
    else:
        fixed = {"seed": seed, "frames": goal.budget, "evaluation.episodes": 0, "checkpoints.every": every}
        place = {"results": goal.folder.parent, "name": goal.folder.name}
        asyncrl.train(env=env, **settings, **fixed, **place, callback=goes_on, progress=False)
    goal.check(cells.frames(goal.folder))


def require(label: str, library: Library) -> None:
    """Raise InputError where a library is not installed."""
    if find_spec(library.package) is None:
        raise InputError(needs(label, library.package, "bench"))


def train_library(label: str, library: Library, env: str, seed: int, every: int, goal: Goal) -> None:
    """Begin or continue a training of another library; it ends where the goal is met."""
    require(label, library)
    frames_per_step = describe(env, Atari()).frames_per_step

    def has_ended() -> bool:
        return goal.check(last_checkpoint(goal.folder)[0] * frames_per_step)

    atomic.make_directory(goal.folder)
    with runs.hold(goal.folder):
        if has_ended():
            return
        library.train(library.size, env, Recording(goal.folder, seed, frames_per_step, every, goal.check))
        if not has_ended():
            raise InputError(f"{label} ended early. The same command goes on.")


@app.command()
def train(
    folder: Directory,
    entry: Annotated[EntryName, typer.Option(help="what to train")],
    seed: Annotated[int, typer.Option(help="of weights, environments and actions", min=0, max=MAX_SEED)],
    scores: Scores = SCORES,
    frames: Annotated[int | None, typer.Option(help="the budget; default: that of the entry", min=1)] = None,
    every: Annotated[int, typer.Option(help="frames between two checkpoints", min=1)] = EVERY,
    env: Env = GAME,
) -> None:
    """Train one entry until its budget, or until it is past the highest score; the same command goes on."""
    chosen = ENTRIES[entry]
    name = training_name(entry, env, seed)
    runs.check_name(name)
    goal = Goal(folder / name, frames or chosen.budget, max(scores))
    if isinstance(chosen.method, Library):
        train_library(chosen.label, chosen.method, env, seed, every, goal)
    else:
        train_asyncrl(chosen.method, env, seed, every, goal)


@app.command()
def rates(
    folder: Directory,
    rounds: Annotated[int, typer.Option(help="runs of each entry", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="measured seconds of each run")] = 15.0,
    warm_up: Annotated[float, typer.Option(help="seconds of each run before the measurement")] = 3.0,
    env: Env = GAME,
) -> None:
    """Measure the frames per second of each entry in interleaved rounds; nothing else may run meanwhile."""
    file = rates_file(folder, env)
    if file.exists():
        raise InputError(f"{file} exists; move it away to measure again.")
    for entry in ENTRIES.values():
        if isinstance(entry.method, Library):
            require(entry.label, entry.method)
    frames_per_step = describe(env, Atari()).frames_per_step
    atomic.make_directory(folder)
    benchmarks = [speed.Benchmark(name, entry.command(env)) for name, entry in ENTRIES.items()]
    found = speed.measure(benchmarks, rounds, seconds, warm_up)
    measured = {name: [frames_per_step * steps for steps in own] for name, own in found.items()}
    document = speed.machine() | {"seconds": seconds, "frames_per_second": measured}
    atomic.replace_file(file, json.dumps(document, indent=2).encode() + b"\n")


def read_rates(file: Path) -> dict[str, list[float]]:
    """Return the frames per second of each entry in each round; empty where they were not measured.

    Raises:
        InputError: the file is damaged.
    """
    try:
        measured: dict[str, list[float]] = atomic.read_object(file)["frames_per_second"]
        if not all(own and all(is_number(rate) and rate > 0 for rate in own) for own in measured.values()):
            raise ValueError
        return measured
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}.") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise InputError(f"{file} has no rates of each entry; move it away, and measure them again.") from None


@app.command("table")
def print_table(folder: Directory, scores: Scores = SCORES, env: Env = GAME) -> None:
    """Print a Markdown table: frames and minutes to each score, with 95 % bootstrap intervals over seeds and rounds."""
    measured = read_rates(rates_file(folder, env))
    rows = {}
    for name, entry in ENTRIES.items():
        found = [Games(*read_games(path)) for path in sorted(folder.glob(training_name(name, env, "*")))]
        if found := [games for games in found if len(games.frames)]:
            rows[name] = Row(entry.label, found, measured.get(name, []))
    if not rows:
        command = f"train {folder} --entry {REFERENCE} --seed 1"
        raise InputError(f"There is no training with games on {env} in {folder}. Train one with: {command}")
    print(table(rows, scores, REFERENCE))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; an error of the user prints one line and sets the exit code."""
    try:
        code = app(arguments, prog_name="python -m benchmarks.time_to_score", standalone_mode=False) or 0
    except InputError as error:
        code = _print_error(str(error), error.code)
    except (RunFailed, Stopped) as error:
        code = _print_error(f"{error.run.name}: {error}. The same command goes on.", error.code)
    except typer.TyperException as error:  # an unknown option or command, or a bad value
        code = _print_error(mistakes.explain(error), Exit.BAD_INPUT)
    except KeyboardInterrupt:
        code = _print_error("Interrupted. The same command goes on.", Exit.INTERRUPTED)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        file = f" {error.filename}" if error.filename else ""
        code = _print_error(f"Cannot write{file}: {error.strerror}.", Exit.BAD_INPUT)
    sys.exit(code)


def _print_error(line: str, code: int) -> int:
    print(text.escape(text.shorten(line)), file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    main()
