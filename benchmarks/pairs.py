"""Compares the speed of whole runs of two versions of asyncrl: ``python -m benchmarks.pairs CHECKOUT``.

Both versions train at the same time, as process groups of which one runs while the other is stopped by SIGSTOP. A
turn takes a second or two, so that a drift of the machine's speed affects both alike. A pair is a turn of each; the
order changes from pair to pair. One start of a program is faster than another by up to five percent, so both are
started again for every few pairs. Nothing else may run on the machine; even so, ratios of equal versions vary by ten
percent. ``benchmarks.updates`` is more exact, for one worker.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.speed import ROOT, machine, other_version
from benchmarks.updates import summary

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

    def rate(self, seconds: float) -> float:
        """Run for some seconds, and return the steps per second between the first and the last row of metrics."""
        self._rows()
        self._signal(signal.SIGCONT)
        time.sleep(seconds)
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
    """Return the speed of ``one`` divided by that of ``other`` in each pair of turns."""
    found: list[float] = []
    while len(found) < pairs:
        with ExitStack() as stack:
            trainings = []
            for source in (one, other):
                results = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
                trainings.append(Training(source, arguments, results))
                stack.callback(trainings[-1].close)
            for training in trainings:
                training.rate(warm_up)
            for pair in range(min(PAIRS_OF_A_START, pairs - len(found))):
                rates = {}
                for training in trainings if pair % 2 == 0 else reversed(trainings):
                    rates[training] = training.rate(seconds)
                found.append(rates[trainings[0]] / rates[trainings[1]])
    return found


def main(
    checkout: Annotated[Path, typer.Argument(help="the other version")],
    arguments: Annotated[list[str] | None, typer.Option(help="of asyncrl run, in one word; once for each case")] = None,
    pairs: Annotated[int, typer.Option(help="of turns", min=2)] = 20,
    seconds: Annotated[float, typer.Option(help="of a turn")] = 2.0,
    warm_up: Annotated[float, typer.Option(help="seconds of each version before the first pair")] = 3.0,
) -> None:
    """Print how many times as fast this version is as another one."""
    other = other_version(checkout)
    cases = arguments or [
        f"--env pong --network {network} --threads 2 --envs-per-thread {envs}"
        for network in ("nips", "nature")
        for envs in (1, 8)
    ]
    about = machine()
    print(f"{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; {pairs} pairs of {seconds:g} s\n")
    print("| case | this ÷ the other | quartiles |\n| --- | ---: | --- |")
    for case in cases:
        print(f"| {case} | {summary(ratios(ROOT, other, case, pairs, seconds, warm_up))} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
