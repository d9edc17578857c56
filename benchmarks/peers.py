"""The programs that ``benchmarks.speed`` compares. Each prints lines ``steps seconds`` until it is stopped.

``python -m benchmarks.peers emulator 2 8`` runs one of them. All step Pong, or another environment that is named,
through asyncrl's environment code, so that they differ only in what they do between two steps.
"""

import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asyncrl.config import Atari
from asyncrl.envs.atari import AtariEnvironments
from asyncrl.envs.base import Episode
from benchmarks.pfrl_training import train_pfrl
from benchmarks.sb3_training import train_sb3

GAME = "pong"
INTERVAL = 0.5  # seconds between two lines


def report(steps: int, seconds: float) -> None:
    """Print the steps so far and the time, in seconds."""
    print(steps, round(seconds, 4), flush=True)


def asyncrl(*arguments: str) -> None:
    """Run ``asyncrl run`` with these arguments, without evaluations."""
    # the process group gets SIGTERM: the run stops, and this process waits for it
    signal.signal(signal.SIGTERM, lambda *_: None)
    with tempfile.TemporaryDirectory() as store:
        fixed = ["--results", store, "--name", "timed", "--frames", "10G"]
        quiet = ["--set", f"log_seconds={INTERVAL}", "--set", "evaluation.episodes=0"]
        command = [sys.executable, "-m", "asyncrl", "run", "--env", GAME, *arguments, *fixed, *quiet]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        metrics = Path(store, "timed", "metrics.jsonl")
        reported = 0
        while run.poll() is None:
            time.sleep(INTERVAL)
            rows = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
            for row in rows[reported:]:
                if row.endswith("\n"):
                    counts = json.loads(row)
                    report(counts["steps"], counts["seconds"])
                    reported += 1


def emulator(processes: str, envs: str) -> None:
    """Step environments with random actions: ``processes`` processes with ``envs`` environments each."""
    context = multiprocessing.get_context("spawn")
    done = context.RawArray("q", int(processes))
    for i in range(int(processes)):
        context.Process(target=_play, args=(done, i, int(envs)), daemon=True).start()
    while True:
        time.sleep(INTERVAL)
        if all(done):
            report(sum(done), time.monotonic())


def _play(done: Any, i: int, envs: int) -> None:
    environments = AtariEnvironments(GAME, envs, training=True, atari=Atari())
    environments.reset(range(i * envs, (i + 1) * envs))
    draw = np.random.default_rng(i)
    actions = environments.spec.actions
    while True:
        for action in draw.integers(actions.n, size=(1000, envs)):
            environments.step(action)
            done[i] += envs


class Timing:
    """Prints the steps of a training that begins, and never ends it."""

    seed, steps = 0, 0
    checkpoint: Path | None = None

    def __init__(self) -> None:
        """Begin an interval."""
        self._reported = time.monotonic()

    def observe(self, worker: int, steps: int, episodes: Sequence[Episode], save: Callable[[Path], object]) -> bool:
        """Print a line every INTERVAL seconds; see ``stepping.Observer``."""
        if worker == 0 and (now := time.monotonic()) - self._reported > INTERVAL:
            self._reported = now
            report(steps, now)
        return True


def pfrl(processes: str, game: str = GAME) -> None:
    """Run PFRL's A3C with its published settings for Atari, and its published network for frames."""
    train_pfrl(int(processes), game, Timing())


def sb3(envs: str, game: str = GAME) -> None:
    """Run Stable-Baselines3's A2C with the settings that its model zoo publishes for Atari."""
    train_sb3(int(envs), game, Timing())


PROGRAMS: dict[str, Callable[..., None]] = {
    "asyncrl": asyncrl,
    "emulator": emulator,
    "pfrl": pfrl,
    "sb3": sb3,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
