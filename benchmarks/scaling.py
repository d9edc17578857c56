"""Real workers beside simulated ones: ``python -m benchmarks.scaling``, for an idle machine with 16 cores.

For Pong and MinAtar Breakout it trains 1, 2, 4, 8 and 16 real workers for 30 seconds each, measures the costs of a run
with one worker, and simulates each number of workers with them. It prints frames per second and policy lag, real and
simulated, and their ratio. An environment that is not installed is left out.
"""

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncrl import experiment
from asyncrl.errors import InputError
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.system import machine
from asyncrl.training import job_builder, opening
from asyncrl.training.simulated import write_costs

ENVIRONMENTS = ("pong", "MinAtar/Breakout-v1")
THREADS = (1, 2, 4, 8, 16)
SECONDS = 30.0
SIMULATED_UPDATES = 400  # of each worker
COLUMNS = ("environment", "threads", "f/s", "simulated", "ratio", "lag", "simulated", "turns")


def settings(env: str, threads: int, **more: Any) -> dict[str, Any]:
    """Return the settings of a run without evaluations."""
    table = {"env": env, "threads": threads, "frames": "1G", "log_seconds": 2.0, "evaluation": {"episodes": 0}}
    return table | {"checkpoints": {"every": "1G"}} | more


def train_for(results: Path, seconds: float, name: str, **table: Any) -> Path:
    """Train for some seconds of the training clock, and return the run."""
    config, spec = job_builder.resolve(settings(**table))

    session = opening.new_session(config, results, name, lambda progress: progress.seconds <= seconds, spec)[1]
    return session.run(handle_signals=False)


def speed_and_lag(run: Path) -> tuple[float, float]:
    """Return frames per second, and the mean policy lag, without the first row."""
    rows = read_rows(run, "metrics")
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        return last["frames"] / last["seconds"], last["policy_lag"]
    weights = [after["updates"] - before["updates"] for before, after in pairwise(rows)]
    lag = sum(weight * row["policy_lag"] for weight, row in zip(weights, rows[1:], strict=True)) / max(1, sum(weights))
    return (last["frames"] - first["frames"]) / (last["seconds"] - first["seconds"]), lag


def compare(results: Path, env: str, threads: Sequence[int], seconds: float) -> None:
    """Print a line for each number of threads."""
    short = env.replace("/", "-")
    one = train_for(results, seconds, f"{short}-costs", env=env, threads=1, profile=True)
    config = job_builder.resolve(read_document(one)["config"])[0]
    write_costs(one, config)
    for count in threads:
        real = train_for(results, seconds, f"{short}-{count}", env=env, threads=count)
        frames = SIMULATED_UPDATES * count * config.t_max * read_document(one)["frames_per_step"]
        table = settings(env, count, frames=frames, clock="simulated", simulated={"costs": str(one / "costs.toml")})
        resolved, spec = job_builder.resolve(table)
        simulated = experiment.train(resolved, results, f"{short}-{count}-simulated", spec=spec)
        (rate, lag), (expected, expected_lag) = speed_and_lag(real), speed_and_lag(simulated)
        turns = "yes" if read_document(real)["turns"] else "no"
        cells = (env, count, f"{rate:,.0f}", f"{expected:,.0f}", f"{rate / expected:.2f}")
        print(row(*cells, f"{lag:.2f}", f"{expected_lag:.2f}", turns), flush=True)


def row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def main(
    seconds: Annotated[float, typer.Option(help="Seconds of training of each real run.")] = SECONDS,
    threads: Annotated[str, typer.Option(help="Numbers of threads.")] = ",".join(map(str, THREADS)),
    env: Annotated[list[str] | None, typer.Option(help="Environments; repeatable.")] = None,
) -> None:
    """Compare real workers with simulated ones."""
    counts = [int(word) for word in threads.split(",")]
    print(f"{machine.cores()} cores\n\n{row(*COLUMNS)}\n{row(*['---'] * len(COLUMNS))}")
    with tempfile.TemporaryDirectory() as place:
        for name in env or ENVIRONMENTS:
            try:
                compare(Path(place), name, counts, seconds)
            except InputError as error:
                print(f"{name} is left out: {error}")


if __name__ == "__main__":
    typer.run(main)
