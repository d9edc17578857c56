"""Measures the start times of Python, of imports, of the command and of a run, and a run's memory.

``python -m benchmarks.startup``; ``--no-run`` measures interpreters, imports and ``asyncrl --help`` alone.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
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


def python(*arguments: str) -> Callable[[], object]:
    """Return a function that runs Python with arguments, and drops the output."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


IMPORTS = {
    "python -c pass": python("-c", "pass"),
    "import asyncrl": python("-c", "import asyncrl"),
    "asyncrl --help": python("-m", "asyncrl", "--help"),
    "asyncrl ls": python("-m", "asyncrl", "ls", "--results", "/nonexistent"),
    "import torch": python("-c", "import torch"),
}


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


def measure(kinds: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Measure each kind once in every round, and print the seconds of the round."""
    for do in kinds.values():
        # the first call reads files from the disk
        do()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds):
        for name, do in kinds.items():
            times[name].append(seconds(do))
        print(f"round {turn + 1}/{rounds}: " + ", ".join(f"{name} {own[-1]:.2f} s" for name, own in times.items()))
    return times


def print_ratios(times: Mapping[str, Sequence[float]], *denominators: str) -> None:
    """Print the median of each kind, and its ratios within a round to some of the kinds: median, lowest and highest."""
    for name, own in times.items():
        parts = [f"{name:26} {statistics.median(own):6.3f} s"]
        for other in denominators:
            ratios = sorted(mine / theirs for mine, theirs in zip(own, times[other], strict=True))
            parts.append(f"{statistics.median(ratios):6.2f} × {other} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        print("   ".join(parts))


def main(
    rounds: Annotated[int, typer.Option(help="measurements of each time", min=1)] = 5,
    run: Annotated[bool, typer.Option(help="also measure a run: its start and its memory")] = True,
    threads: Annotated[int, typer.Option(help="threads of the run whose memory is measured")] = 16,
    during: Annotated[float, typer.Option(help="seconds of training before memory is measured")] = 20.0,
) -> None:
    """Measure start times in several rounds, then memory, and print both."""
    print_ratios(measure(IMPORTS, rounds), "python -c pass", "import torch")
    if not run:
        return
    kinds = {"import torch": IMPORTS["import torch"], "one environment": start_environment, "one update": one_update}
    torch, environment, update = (statistics.median(own) for own in measure(kinds, rounds).values())
    ratio = update / (torch + environment)
    print(f"\nmedians: {torch:.2f} s + {environment:.2f} s; {update:.2f} s, {ratio:.2f} times their sum")
    total, own = memory(threads, during)
    print(f"{threads} threads: {total:.2f} GB in total, {own:.2f} GB of it in the parent")


if __name__ == "__main__":
    typer.run(main)
