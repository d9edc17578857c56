"""An hour of training while workers are killed: ``python -m tests.soak --frames 8M``.

It trains A3C on Pong with the command line, kills a random worker every half minute, and watches memory, processes and
what the run writes. It prints a table for the documentation, and fails where a promise was not kept.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from asyncrl.store.checkpoint import load
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.store.runs import list_runs
from tests.runtime.setups import children, is_alive, shared_memory, wait_until

WORKERS, T_MAX, ENVS = 2, 5, 8
SETTINGS = ("optimizer.lr=2e-3", "initial_weights=orthogonal", "evaluation.every=2M", "workers.restarts=1000")


def resident(pid: int) -> float:
    """Return the MiB of a process and its children, pages that they share divided among them."""
    total = 0
    for one in (pid, *children(pid)):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def zombies(pid: int) -> int:
    """Return how many dead children wait to be buried."""
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "stat="], capture_output=True, text=True, check=False)
    return sum(line.startswith("Z") for line in found.stdout.split())


def main(
    frames: Annotated[str, typer.Option(help="the budget")] = "8M",
    every: Annotated[float, typer.Option(help="seconds between kills")] = 30.0,
    results: Annotated[Path, typer.Option(help="where the run goes")] = Path("results"),
) -> None:
    """Train, kill, watch, tell."""
    names = shared_memory()
    command = [sys.executable, "-m", "asyncrl", "run", "--threads", str(WORKERS), "--envs-per-thread", str(ENVS)]
    command += ["--frames", frames, "--results", str(results), *(word for s in SETTINGS for word in ("--set", s))]
    chance, memory, last, buried, kills = random.Random(1), [], [], 0, 0
    began = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while run.poll() is None:
        due = time.monotonic() + every
        while run.poll() is None and time.monotonic() < due:
            time.sleep(0.2)
            buried = max(buried, zombies(run.pid) if time.monotonic() > due - 0.3 else 0)
        workers = sorted(children(run.pid))
        if run.poll() is None and workers:
            last = workers
            memory.append(resident(run.pid))
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills += 1
            print(f"{time.monotonic() - began:6.0f} s  {kills} kills  {memory[-1]:6.0f} MiB", flush=True)
    path = list_runs(results)[0]
    document, rows = read_document(path), read_rows(path, "evaluations")
    failures = read_rows(path, "failures")
    over = document["steps"] - document["config"]["frames"] // document["frames_per_step"]
    print(f"\nexit code {run.returncode}, {document['status']}, {(time.monotonic() - began) / 60:.0f} minutes")
    print(f"{kills} kills, {sum(row['is_replaced'] for row in failures)} workers replaced")
    print(f"{document['steps']:,} steps, {over} more than the budget (at most {WORKERS * ENVS * T_MAX})")
    quarter = max(1, len(memory) // 4)
    early, late = memory[quarter : 2 * quarter], memory[-quarter:]  # less where the process that evaluates is dead
    told = " and ".join(f"{min(part):.0f} to {max(part):.0f} MiB" for part in (early, late))
    left = not wait_until(lambda: not any(map(is_alive, last)), seconds=5)
    print("processes were left" if left else "no process was left")
    print(f"memory in the second and in the last quarter {told}; {buried} zombies at most")
    print("evaluations: " + ", ".join(f"{row['frames'] / 1e6:.0f}M {row['mean']:.1f}" for row in rows))
    assert run.returncode == 0
    assert 0 <= over <= WORKERS * ENVS * T_MAX
    assert load(path).step == document["steps"]
    assert min(late) < 1.1 * min(early)
    assert max(late) < 1.1 * max(early)
    assert not left
    assert buried <= 1  # an examiner, until the next process is started
    assert shared_memory() == names


if __name__ == "__main__":
    typer.run(main)
