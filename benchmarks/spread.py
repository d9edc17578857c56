"""Measures how much the cost of a phase varies: ``python -m benchmarks.spread``; nothing else may run.

One actor-learner trains in this process. Printed is σ of the logarithm of a phase's durations, as half the distance of
the 16th and the 84th percentile, which single pauses do not change: what ``simulated.jitter`` stands for.
"""

import time
from typing import Annotated

import numpy as np
import torch
import typer

from asyncrl.networks.flat import flatten
from asyncrl.runtime.action_log import LoggedEnvironments
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.random_streams import RandomStreams
from asyncrl.runtime.worker import PHASES, ActorLearner
from asyncrl.training.job_builder import make_job, resolve

CASES = [
    (env, algo, n)
    for n in (1, 8)
    for env in ("CartPole-v1", "MinAtar/Breakout-v1", "pong")
    for algo in ("a3c", "one-step-q")
]
WARM_UP_SECONDS = 1.0


def make_worker(env: str, algo: str, envs: int, network: str = "auto") -> tuple[ActorLearner, LoggedEnvironments]:
    """Return the only actor-learner of a run, and its environments; the libraries of this process use one thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    table = {
        "env": env, "algo": algo, "network": network, "threads": 1, "envs_per_thread": envs, "frames": 10_000_000
    }  # fmt: skip
    job = make_job(*resolve(table), (0.1,) * envs, 0)
    rate, period = job.learning_rate, job.learners[0].target_period
    parameters = SharedParameters.allocate(flatten(job.make_network()), 1, job.optimizer, rate, period)
    streams = RandomStreams(1, (0, 0))
    environments = LoggedEnvironments(job.make_environments(), streams.environment_seed)
    return ActorLearner(0, job, parameters, environments, streams), environments


def durations(worker: ActorLearner, seconds: float) -> dict[str, list[float]]:
    """Train for some seconds, and return the durations of each phase."""
    phases: dict[str, list[float]] = {phase: [] for phase in PHASES}
    end = time.perf_counter() + seconds
    while (last := time.perf_counter()) < end:
        for phase in worker.update():
            now = time.perf_counter()
            phases[phase].append(now - last)
            last = now
    return phases


def duration(worker: ActorLearner, updates: int) -> float:
    """Return the seconds that some updates take."""
    start = time.perf_counter()
    for _ in range(updates):
        for _ in worker.update():
            pass
    return time.perf_counter() - start


def spread(values: list[float]) -> float:
    """Return the robust σ of the logarithm of durations."""
    low, high = np.percentile(values, (16, 84))
    return float(np.log(high / low) / 2)


def main(seconds: Annotated[float, typer.Option(help="of each case")] = 4.0) -> None:
    """Print a Markdown table of the spread of each phase."""
    print(f"| environment | method | environments | {' | '.join(PHASES)} |\n|---|---|---:|{'---:|' * len(PHASES)}")
    for env, algo, envs in CASES:
        worker, environments = make_worker(env, algo, envs)
        durations(worker, WARM_UP_SECONDS)
        found = durations(worker, seconds)
        cells = " | ".join(f"{spread(found[phase]):.2f}" if found[phase] else "" for phase in PHASES)
        print(f"| {env} | {algo} | {envs} | {cells} |", flush=True)
        environments.close()


if __name__ == "__main__":
    typer.run(main)
