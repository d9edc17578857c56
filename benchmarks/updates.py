"""Compares two versions of asyncrl update by update: ``python -m benchmarks.updates CHECKOUT``.

A process of each version trains with one actor-learner; both are bound to one core, and take turns of a few updates.
A turn takes less than a tenth of a second, so that the machine's changes of speed affect both alike. One start of a
program is faster than another by a few percent, since its memory is elsewhere, so both are started again for each
pair. The parent process, rows and evaluations are not measured, nor what several cores do to each other: see
``benchmarks.pairs``.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import typer

from benchmarks.speed import ROOT, machine, other_version

CHILD = "--child"
WARM_UP = 100  # updates
TURN = 5  # updates
TURNS = 10  # of each version in a pair
ENVIRONMENTS = (1, 8)  # each on a core of its own, if there are two


class Case(NamedTuple):
    """What a worker of A3C trains."""

    env: str
    network: str
    envs: int


class Version:
    """A process that makes updates when it is asked to."""

    def __init__(self, source: Path, case: Case, core: int) -> None:
        """Start it, and wait until it is warm."""
        words = [sys.executable, "-m", "benchmarks.updates", CHILD, *map(str, case), str(core)]
        # the package of this version alone, and the benchmarks of this checkout
        self._folder = TemporaryDirectory()
        Path(self._folder.name, "asyncrl").symlink_to(source / "asyncrl")
        variables = os.environ | {"PYTHONPATH": f"{self._folder.name}:{ROOT}", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            words, env=variables, cwd=self._folder.name, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.measure(WARM_UP)
        except BaseException:
            self.close()
            raise

    def measure(self, updates: int) -> float:
        """Make some updates; return the seconds that they took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(updates, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of a version ended with exit code {self._process.wait()}")
        return float(line)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@contextmanager
def started(sources: tuple[Path, Path], case: Case, core: int) -> Iterator[list[Version]]:
    """Start both versions; end them at the end."""
    versions: list[Version] = []
    try:
        versions.extend(Version(source, case, core) for source in sources)
        yield versions
    finally:
        for version in versions:
            version.close()


def ratios(one: Path, other: Path, case: Case, pairs: int, core: int) -> list[float]:
    """Return how many times as fast updates of ``one`` are as those of ``other``, in each pair."""
    found: list[float] = []
    for pair in range(pairs):
        # a version that is started first may be faster or slower, so they are started in turn
        sources = (one, other) if pair % 2 == 0 else (other, one)
        with started(sources, case, core) as versions:
            seconds = [0.0, 0.0]
            for turn in range(TURNS):
                for i in (0, 1) if turn % 2 == 0 else (1, 0):
                    seconds[i] += versions[i].measure(TURN)
        own, others = seconds if pair % 2 == 0 else reversed(seconds)
        found.append(others / own)
    return found


def compare(one: Path, other: Path, env: str, network: str, pairs: int) -> list[list[float]]:
    """Return the ratios for each number of environments; they are measured at the same time on two cores."""
    cores = sorted(os.sched_getaffinity(0))

    def of(i: int) -> list[float]:
        return ratios(one, other, Case(env, network, ENVIRONMENTS[i]), pairs, cores[i % len(cores)])

    with ThreadPoolExecutor(min(len(cores), len(ENVIRONMENTS))) as pool:
        return list(pool.map(of, range(len(ENVIRONMENTS))))


def heading(first: str) -> str:
    """Return the head of a table of ``row``."""
    return f"| {first} | 1 environment | quartiles | 8 environments | quartiles |\n| --- | ---: | --- | ---: | --- |"


def row(name: str, found: Iterable[list[float]]) -> str:
    """Return a row of a table: the ratios of ``compare``."""
    return f"| {name} | {' | '.join(map(summary, found))} |"


def summary(found: list[float]) -> str:
    """Return the median and the quartiles of ratios, as cells of a table."""
    low, high = np.quantile(found, [0.25, 0.75])
    return f"{statistics.median(found):.3f} | {low:.3f} to {high:.3f}"


def train(env: str, network: str, envs: str, core: str) -> None:
    """Make as many updates as each line of stdin says, and print the seconds."""
    os.sched_setaffinity(0, {int(core)})
    from asyncrl.runtime.spawn import LIBRARY_VARIABLES

    if any(os.environ.get(name) != value for name, value in LIBRARY_VARIABLES.items()):
        # torch reads them when it is loaded
        os.environ.update(LIBRARY_VARIABLES)
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.updates", *sys.argv[1:]])
    from benchmarks.spread import duration, make_worker

    worker, _ = make_worker(env, "a3c", int(envs), network)
    for line in sys.stdin:
        print(duration(worker, int(line)), flush=True)


def main(
    checkout: Annotated[Path, typer.Argument(help="the other version")],
    env: Annotated[str, typer.Option(help="the environment")] = "pong",
    networks: Annotated[str, typer.Option(help="separated by commas")] = "nips,nature",
    pairs: Annotated[int, typer.Option(help="of turns", min=2)] = 20,
) -> None:
    """Print how many times as fast updates of this version are as those of another one."""
    other = other_version(checkout)
    about = machine()
    print(f"{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; {pairs} pairs\n")
    print(heading("network"))
    for network in networks.split(","):
        print(row(network, compare(ROOT, other, env, network, pairs)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        train(*sys.argv[2:])
    else:
        typer.run(main)
