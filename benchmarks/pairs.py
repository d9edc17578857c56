"""Compares the speed of two versions of asyncrl in pairs of turns: ``python -m benchmarks.pairs CHECKOUT``.

With one worker (the default cases), both versions train at the same time, each on a core of its own; in the second
half of a pair they exchange cores. A change of the machine's speed then affects both alike. With more workers both
use all cores in turn, as process groups of which one is stopped by SIGSTOP; the order changes from pair to pair, and
the ratios vary two or three times as much. One start of a program is faster than another by up to five percent, so
both are started again for every few pairs. Nothing else may run on the machine.
"""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.speed import ROOT, machine

START_SECONDS = 120.0  # the longest wait for a row of metrics
LOG_SECONDS = 0.2  # between rows
STOP_SECONDS = 20.0
PAIRS_OF_A_START = 4
FEWEST_ROWS = 3  # of metrics in a turn


class Training:
    """A training that runs in turns."""

    def __init__(self, source: Path, arguments: str, results: Path) -> None:
        """Start it, wait until it trains, and stop it.

        Args:
            source: the directory with its package.
            arguments: of ``asyncrl run``.
            results: an empty directory.
        """
        fixed = (
            f"--results {results} --name timed --frames 10G --set log_seconds={LOG_SECONDS} --set evaluation.episodes=0"
        )
        self._metrics = results / "timed" / "metrics.jsonl"
        self._read = 0  # bytes of it
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asyncrl", "run", *arguments.split(), *fixed.split()],
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | {"PYTHONPATH": str(source)},
            cwd=source,
            start_new_session=True,
        )
        try:
            self._wait_for_rows()
        except BaseException:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def bind(self, cores: Iterable[int]) -> None:
        """Let all its threads run on these cores alone."""
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            # a process or a thread may have ended meanwhile
            with suppress(OSError):
                if os.getpgid(pid) == self._process.pid:
                    for thread in os.listdir(f"/proc/{pid}/task"):
                        os.sched_setaffinity(int(thread), cores)

    def start(self) -> None:
        """Begin a turn."""
        self._rows()
        self._signal(signal.SIGCONT)

    def end(self) -> float:
        """End a turn, and return the steps per second between its first and its last row of metrics."""
        rows = self._rows()
        deadline = time.monotonic() + STOP_SECONDS
        # the process that writes rows shares the cores with those that train, and may be late
        while len(rows) < FEWEST_ROWS and time.monotonic() < deadline:
            time.sleep(LOG_SECONDS / 4)
            rows += self._rows()
        self._signal(signal.SIGSTOP)
        if len(rows) < FEWEST_ROWS:
            raise RuntimeError(f"{len(rows)} rows of metrics in a turn")
        return float((rows[-1]["steps"] - rows[0]["steps"]) / (rows[-1]["seconds"] - rows[0]["seconds"]))

    def close(self) -> None:
        """End it."""
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._errors.close()

    def _wait_for_rows(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while len(self._rows()) < 2:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._errors.seek(0)
                raise RuntimeError(f"the training ended, or does not train: {self._errors.read()[-2000:]}")
            time.sleep(3 * LOG_SECONDS)

    def _rows(self) -> list[dict[str, Any]]:
        """Return the complete rows since the last call."""
        if not self._metrics.exists():
            return []
        with self._metrics.open("rb") as file:
            file.seek(self._read)
            complete = file.read().rpartition(b"\n")[0]
        self._read += len(complete) + 1 if complete else 0
        return [json.loads(line) for line in complete.splitlines()]

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def ratios(one: Path, other: Path, arguments: str, pairs: int, seconds: float, warm_up: float) -> list[float]:
    """Return the speed of ``one`` divided by that of ``other`` in each pair; ``arguments`` have ``--threads``."""
    words = arguments.split()
    compare = _together if words[words.index("--threads") + 1] == "1" else _in_turn
    found: list[float] = []
    while len(found) < pairs:
        with ExitStack() as stack:
            trainings = []
            for source in (one, other):
                results = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
                trainings.append(Training(source, arguments, results))
                stack.callback(trainings[-1].close)
            compare(trainings, warm_up, 0)
            count = min(PAIRS_OF_A_START, pairs - len(found))
            found += [compare(trainings, seconds, number) for number in range(count)]
    return found


def _together(trainings: Sequence[Training], seconds: float, number: int) -> float:
    """Return the ratio of the first to the second, each on a core of its own; they exchange cores in between."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    ratios_of_halves = []
    for order in (cores, cores[::-1]):
        for training, core in zip(trainings, order, strict=True):
            training.bind([core])
            training.start()
        time.sleep(seconds)
        first, second = (training.end() for training in trainings)
        ratios_of_halves.append(first / second)
    return math.prod(ratios_of_halves) ** 0.5


def _in_turn(trainings: Sequence[Training], seconds: float, number: int) -> float:
    """Return the ratio of the first to the second, which take all cores in turn; the second is first in odd pairs."""
    rates = {}
    for training in trainings if number % 2 == 0 else reversed(trainings):
        training.start()
        time.sleep(seconds)
        rates[training] = training.end()
    first, second = (rates[training] for training in trainings)
    return first / second


def summary(found: list[float]) -> str:
    """Return the median and the quartiles of ratios, as cells of a table."""
    low, high = np.quantile(found, [0.25, 0.75])
    return f"{statistics.median(found):.3f} | {low:.3f} to {high:.3f}"


def main(
    checkout: Annotated[Path, typer.Argument(help="the other version")],
    arguments: Annotated[list[str] | None, typer.Option(help="of asyncrl run, in one word; once for each case")] = None,
    pairs: Annotated[int, typer.Option(help="of turns", min=2)] = 20,
    seconds: Annotated[float, typer.Option(help="of a turn, or of half a pair on one core")] = 2.0,
    warm_up: Annotated[float, typer.Option(help="seconds of each version before the first pair")] = 3.0,
) -> None:
    """Print how many times as fast this version is as another one."""
    cases = arguments or [
        f"--env pong --network {network} --threads 1 --envs-per-thread {envs}"
        for network in ("nips", "nature")
        for envs in (1, 8)
    ]
    about = machine()
    print(f"{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; {pairs} pairs of {seconds:g} s\n")
    print("| case | this ÷ the other | quartiles |\n| --- | ---: | --- |")
    for case in cases:
        print(f"| {case} | {summary(ratios(ROOT, checkout.resolve(), case, pairs, seconds, warm_up))} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
