"""Trains short runs to try the report with: ``python -m benchmarks.store DIR``; some minutes on two cores.

Every algorithm on two games, with two seeds, with one and two threads. The runs are far too short to learn Pong.
"""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from asyncrl.config import ALGOS

GAMES = {"CartPole-v1": 30_000, "pong": 12_000}  # frames
SEEDS, THREADS = (1, 2), (1, 2)


def main(
    results: Annotated[Path, typer.Argument(help="Directory of the runs; existing runs are skipped.")],
) -> None:
    """Train the runs that do not exist yet."""
    for env, algo, seed, threads in product(GAMES, ALGOS, SEEDS, THREADS):
        name = f"{env}-{algo}-{threads}t-s{seed}".lower()
        if (results / name).exists():
            continue
        command = [sys.executable, "-m", "asyncrl", "run", "--env", env, "--algo", algo, "--seed", str(seed)]
        command += ["--threads", str(threads), "--frames", str(GAMES[env]), "--name", name, "--results", str(results)]
        command += ["--set", "evaluation.episodes=1" if env == "pong" else "evaluation.episodes=10"]
        command += ["--set", "log_seconds=0.5"]
        command += ["--set", "evaluation.every=6k"] if env == "pong" else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        print(name, flush=True)


if __name__ == "__main__":
    typer.run(main)
