"""Compares the compiled kernels with ``torch.compile`` and with plain torch: ``python -m benchmarks.compile``.

Measured are the phases ``act`` and ``learn`` of one worker of A3C, in a process for each way; in a round the three ways
train one after the other. torch.compile needs a C++ compiler. Nothing else may run on the machine.
"""

import os
import subprocess
import sys
from statistics import median
from typing import Annotated, Any

import torch
import typer

from benchmarks.spread import durations, make_worker

WAYS = {"kernels": "1", "plain torch": "0", "torch.compile": "0"}  # ASYNCRL_NATIVE of each
OTHERS = list(WAYS)[1:]
NETWORKS = {"nips": "pong", "nature": "pong", "minatar": "MinAtar/Breakout-v1"}  # each with a task
CASES = [(env, network, n) for network, env in NETWORKS.items() for n in (1, 8)]
WARM_UP_SECONDS = 25.0  # torch.compile compiles each new shape once
CHILD = "--child"


def measure(way: str, env: str, network: str, envs: int, seconds: float) -> float:
    """Train in this process; return the microseconds of acting and learning for each step of one environment."""
    worker, environments = make_worker(env, "a3c", envs, network)
    if way == "torch.compile":
        net: Any = worker.net
        net.compile()
        net.decide = torch.compile(net.decide)
    durations(worker, WARM_UP_SECONDS if way == "torch.compile" else 2.0)
    found = durations(worker, seconds)
    environments.close()
    # each phase "act" is of one step of all environments
    return 1e6 * (sum(found["act"]) + sum(found["learn"])) / (len(found["act"]) * envs)


def run(way: str, case: tuple[str, str, int], seconds: float) -> float:
    """Measure one way in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.compile", CHILD, way, *map(str, case), str(seconds)]
    variables = os.environ | {"ASYNCRL_NATIVE": WAYS[way], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def main(
    rounds: Annotated[int, typer.Option(help="each with all ways", min=1)] = 2,
    seconds: Annotated[float, typer.Option(help="of each measurement")] = 5.0,
) -> None:
    """Print a Markdown table: microseconds a step, and how many times as long as the kernels each way takes."""
    print(f"| network | environments | {' | '.join(WAYS)} | {' | '.join(f'{way} ÷ kernels' for way in OTHERS)} |")
    print("| --- |" + " ---: |" * (2 * len(WAYS)))
    for case in CASES:
        found = [{way: run(way, case, seconds) for way in WAYS} for _ in range(rounds)]
        times = [f"{median(each[way] for each in found):.0f} µs" for way in WAYS]
        ratios = [f"{median(each[way] / each['kernels'] for each in found):.2f}" for way in OTHERS]
        print(f"| {case[1]} | {case[2]} | {' | '.join([*times, *ratios])} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print(measure(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), float(sys.argv[6])))
    else:
        typer.run(main)
