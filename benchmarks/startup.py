"""Measures the start time and the memory of a run: ``python -m benchmarks.startup``."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from asyncrl.config import Atari

OPTIONS = ["--env", "pong", "--set", "evaluation.episodes=0", "--name", "timed"]


def seconds(do: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def import_torch() -> None:
    """Start Python and import torch."""
    subprocess.run([sys.executable, "-c", "import torch"], check=True)


def start_environment() -> None:
    """Open and reset one emulator."""
    from asyncrl.envs.atari import AtariEnvironments

    environments = AtariEnvironments("pong", 1, training=True, atari=Atari())
    environments.reset([1])
    environments.close()


def one_update() -> None:
    """Run a whole command whose budget is one rollout for each of two workers, with one checkpoint."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "asyncrl", "run", *OPTIONS, "--threads", "2", "--frames", "8"]
        subprocess.run([*command, "--results", store], check=True, stdout=subprocess.DEVNULL)


def memory(threads: int, during: float) -> tuple[float, float]:
    """Return the memory in GB of all processes of a run, and of its parent (proportional set size)."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "asyncrl", "run", *OPTIONS, "--threads", str(threads), "--frames", "10G"]
        run = subprocess.Popen([*command, "--results", store], stdout=subprocess.DEVNULL, start_new_session=True)
        metrics = Path(store, "timed", "metrics.jsonl")
        while not metrics.exists() and run.poll() is None:
            time.sleep(0.5)
        time.sleep(during)
        own = _proportional_set_size(run.pid)
        total = sum(_proportional_set_size(pid) for pid in _group(run.pid))
        assert json.loads(metrics.read_text().splitlines()[-1])["steps"]
        os.kill(run.pid, signal.SIGTERM)
        run.wait(60)
        return total, own


def _group(leader: int) -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _group_of(pid) == leader]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _proportional_set_size(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024 / 1e9


def main(
    rounds: Annotated[int, typer.Option(help="measurements of each time", min=1)] = 5,
    threads: Annotated[int, typer.Option(help="threads of the run whose memory is measured")] = 16,
    during: Annotated[float, typer.Option(help="seconds of training before memory is measured")] = 20.0,
) -> None:
    """Measure start times in several rounds, then memory, and print both."""
    # the first call imports modules
    start_environment()
    kinds = {"import torch": import_torch, "one environment": start_environment, "to the end of one update": one_update}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds):
        for name, do in kinds.items():
            times[name].append(seconds(do))
        print(f"round {turn + 1}/{rounds}: " + ", ".join(f"{name} {own[-1]:.2f} s" for name, own in times.items()))
    torch, environment, update = (statistics.median(own) for own in times.values())
    ratio = update / (torch + environment)
    print(f"\nmedians: {torch:.2f} s + {environment:.2f} s; {update:.2f} s, {ratio:.2f} times their sum")
    total, own = memory(threads, during)
    print(f"{threads} threads: {total:.2f} GB in total, {own:.2f} GB of it in the parent")


if __name__ == "__main__":
    typer.run(main)
