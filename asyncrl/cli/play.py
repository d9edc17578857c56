"""The commands that play with a run's checkpoint: ``asyncrl eval`` and ``asyncrl record``."""

from pathlib import Path
from typing import Annotated

import typer

from asyncrl.cli.options import DEFAULT_RESULTS, AsJson, CheckpointName, Results, RunName, print_json
from asyncrl.setting_types import MAX_SEED
from asyncrl.store import runs
from asyncrl.terminal import rendering
from asyncrl.terminal.console import waiting, write

commands = typer.Typer()


@commands.command("eval", epilog="Example: asyncrl eval last --checkpoint best --episodes 100")
def evaluate(
    run: RunName = "last",
    which: CheckpointName = "last",
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Whole episodes, with unclipped rewards.")] = 30,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The seed of environments and actions.")] = 1,
    results: Results = DEFAULT_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint of a run, without learning, and add the scores to the run."""
    path = runs.find(results, run)
    with waiting(f"Playing {episodes} episodes of {path.name}"):
        from asyncrl import experiment

        row = experiment.evaluate(path, which, episodes, seed)
    if as_json:
        print_json(row)
    else:
        write(rendering.evaluation_text(row), soft_wrap=True)


@commands.command(epilog="Example: asyncrl record last --checkpoint best --out pong.gif --max-seconds 60")
def record(
    run: RunName = "last",
    which: CheckpointName = "last",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An .mp4 or .gif file. \\[default: RUN/<checkpoint>.mp4]")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Episodes, one after another.")] = 1,
    max_seconds: Annotated[float | None, typer.Option(min=1, max=86_400, help="Cut the video at this length.")] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Make a video of a run's agent."""
    path = runs.find(results, run)
    file = out or path / f"{which}.mp4"
    with waiting(f"Recording {path.name}"):
        from asyncrl import video

        scores = video.record(path, which, file, episodes, max_seconds)
    write(rendering.video_text(file, scores), soft_wrap=True)
