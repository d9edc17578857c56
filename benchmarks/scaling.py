"""Real workers beside simulated ones: ``python -m benchmarks.scaling``, for an idle machine with 16 cores.

For Pong and MinAtar Breakout it trains 1, 2, 4, 8 and 16 real workers for 30 seconds each, measures the costs of a run
with one worker, and simulates each number of workers with them; more workers than cores take turns in both. It prints
frames per second and policy lag, real and simulated, the ratio of the speeds, and the Kolmogorov-Smirnov statistic of
the counts of policy lags. With ``--rounds``, the costs are measured again in each round, and ratios get an interval. An
environment that is not installed is left out.
"""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from asyncrl import experiment
from asyncrl.analysis import bootstrap
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
COLUMNS = ("environment", "threads", "f/s", "simulated", "ratio", "95 %", "lag", "simulated", "KS", "turns")


class Speed(NamedTuple):
    """What a run did after its first row of metrics."""

    rate: float  # frames per second
    lag: float  # mean policy lag, updates
    lags: Counter[str]  # updates by the bin of their policy lag: lag_0, lag_1, lag_2 (2 and 3), …
    turns: bool  # whether workers took turns on cores


def settings(**table: Any) -> dict[str, Any]:
    """Return the settings of a run without evaluations."""
    fixed = {"frames": "1G", "log_seconds": 2.0, "evaluation": {"episodes": 0}, "checkpoints": {"every": "1G"}}
    return fixed | table


def train_for(results: Path, seconds: float, name: str, **table: Any) -> Path:
    """Train for some seconds of the training clock, and return the run."""
    config, spec = job_builder.resolve(settings(**table))
    session = opening.new_session(config, results, name, lambda progress: progress.seconds <= seconds, spec)[1]
    return session.run(handle_signals=False)


def measured(run: Path) -> Speed:
    """Return what a run did, without the first row where there are more."""
    rows = read_rows(run, "metrics")
    first, last = ({"frames": 0, "seconds": 0.0}, rows[0]) if len(rows) == 1 else (rows[0], rows[-1])
    weights = [after["updates"] - before["updates"] for before, after in pairwise([{"updates": 0}, *rows])]
    used = list(zip(weights, rows, strict=True))[len(rows) > 1 :]
    lag = sum(weight * row["policy_lag"] for weight, row in used) / max(1, sum(weight for weight, _ in used))
    lags: Counter[str] = Counter()
    for _, each in used:
        lags.update({name: each[name] for name in each if name.startswith("lag_") and each[name]})
    rate = (last["frames"] - first["frames"]) / (last["seconds"] - first["seconds"])
    return Speed(rate, lag, lags, bool(read_document(run).get("turns")))


def kolmogorov_smirnov(one: Counter[str], other: Counter[str]) -> float:
    """Return the largest difference of the two cumulative distributions over bins of policy lag."""
    bins = sorted(one.keys() | other.keys(), key=lambda name: int(name.removeprefix("lag_")))
    shares = [np.cumsum([counts[name] for name in bins]) / max(1, counts.total()) for counts in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max(initial=0.0))


def interval(ratios: list[float]) -> str:
    """Return the 95 % bootstrap interval of the median of ratios; empty for one."""
    if len(ratios) == 1:
        return ""
    low, high = bootstrap.bounds(bootstrap.resampled_medians(ratios))
    return f"{low:.2f}-{high:.2f}"


def compare(results: Path, table: dict[str, Any], seconds: float, count: int, name: str) -> tuple[Speed, Speed]:
    """Return a real run and its simulation, with costs that are measured for it."""
    one = train_for(results, seconds, f"{name}-costs", **table, threads=1, profile=True)
    write_costs(one, job_builder.resolve(read_document(one)["config"])[0])
    real = measured(train_for(results, seconds, f"{name}-real", **table, threads=count))
    simulation: dict[str, Any] = {"costs": str(one / "costs.toml")}
    if real.turns:
        simulation |= {"cores": machine.cores(), "policy": "turns"}
    frames = SIMULATED_UPDATES * count * read_document(one)["config"]["t_max"] * read_document(one)["frames_per_step"]
    whole = settings(**table, threads=count, clock="simulated", simulated=simulation) | {"frames": frames}
    config, spec = job_builder.resolve(whole)
    return real, measured(experiment.train(config, results, f"{name}-simulated", spec=spec))


def print_row(env: str, count: int, pairs: list[tuple[Speed, Speed]]) -> None:
    """Print medians over rounds."""
    ratios = [real.rate / simulated.rate for real, simulated in pairs]
    real, simulated = ([pair[i] for pair in pairs] for i in (0, 1))
    rates = [f"{np.median([each.rate for each in runs]):,.0f}" for runs in (real, simulated)]
    lags = [f"{np.median([each.lag for each in runs]):.2f}" for runs in (real, simulated)]
    statistic = f"{np.median([kolmogorov_smirnov(one.lags, two.lags) for one, two in pairs]):.2f}"
    ratio, turns = f"{np.median(ratios):.2f}", "yes" if real[0].turns else "no"
    print(row(env, count, *rates, ratio, interval(ratios), *lags, statistic, turns), flush=True)


def row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def main(
    seconds: Annotated[float, typer.Option(help="Seconds of training of each real run.")] = SECONDS,
    threads: Annotated[str, typer.Option(help="Numbers of threads.")] = ",".join(map(str, THREADS)),
    env: Annotated[list[str] | None, typer.Option(help="Environments; repeatable.")] = None,
    algo: Annotated[str, typer.Option(help="The method.")] = "a3c",
    rounds: Annotated[int, typer.Option(help="Pairs of a real run and its simulation.")] = 1,
) -> None:
    """Compare real workers with simulated ones."""
    print(f"{machine.cores()} cores, {algo}\n\n{row(*COLUMNS)}\n{row(*['---'] * len(COLUMNS))}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        for name in env or ENVIRONMENTS:
            for count in map(int, threads.split(",")):
                short = f"{name.replace('/', '-')}-{count}"
                try:
                    pairs = [
                        compare(Path(place), {"env": name, "algo": algo}, seconds, count, f"{short}-{i}")
                        for i in range(rounds)
                    ]
                except InputError as error:
                    print(f"{name} is left out: {error}")
                    break
                print_row(name, count, pairs)


if __name__ == "__main__":
    typer.run(main)
