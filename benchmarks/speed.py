"""Measures the speed of training, and of other packages: ``python -m benchmarks.speed peers``.

Every round runs each benchmark once, in turn, so that a drift of the machine's speed affects all alike. The ratios
within a round are more reliable than absolute speeds; the table gives their medians.
"""

import json
import os
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from asyncrl.store import provenance

ROOT = Path(__file__).parent.parent
START_SECONDS = 120.0  # the longest wait for a line of output
BEFORE = ", before"
PEERS = ("pfrl", "stable-baselines3")


class Benchmark(NamedTuple):
    """A program of peers.py with its arguments."""

    label: str
    command: tuple[str, ...]
    source: Path = ROOT  # the checkout whose asyncrl it imports


def asyncrl(label: str, arguments: str, source: Path = ROOT) -> Benchmark:
    """Return the benchmark of ``asyncrl run`` with these arguments."""
    return Benchmark(label, ("asyncrl", *arguments.split()), source)


def emulator(processes: int, envs: int) -> Benchmark:
    """Return the benchmark of the emulator without learning."""
    return Benchmark(f"emulator alone, {processes} × {envs}", ("emulator", str(processes), str(envs)))


def sections(workers: int) -> dict[str, list[Benchmark]]:
    """Return the benchmarks of each section; the ratios are to the first one."""
    sizes = (1, 2, 4, 8, 16)
    a3c = f"--threads {workers} --envs-per-thread"
    networks = ("nips", "nature", "nips-lstm")
    algos = ("a3c", "a2c", "one-step-q", "one-step-sarsa", "n-step-q")
    return {
        "peers": [
            emulator(workers, 8),
            emulator(workers, 1),
            asyncrl(f"asyncrl A3C, {workers} × 1", f"{a3c} 1"),
            asyncrl(f"asyncrl A3C, {workers} × 8", f"{a3c} 8"),
            Benchmark(f"PFRL A3C, {workers} processes", ("pfrl", str(workers))),
            Benchmark("Stable-Baselines3 A2C, 16 environments", ("sb3", "16")),
        ],
        "small": [
            benchmark
            for game, name in (("MinAtar/Breakout-v0", "MinAtar Breakout"), ("CartPole-v1", "CartPole"))
            for benchmark in (
                asyncrl(f"asyncrl A3C, {name}, {workers} × 1", f"{a3c} 1 --env {game}"),
                asyncrl(f"asyncrl A3C, {name}, {workers} × 8", f"{a3c} 8 --env {game}"),
                Benchmark(f"PFRL A3C, {name}, {workers} processes", ("pfrl", str(workers), game)),
                Benchmark(f"Stable-Baselines3 A2C, {name}, 16", ("sb3", "16", game)),
            )
        ],
        "threads": [asyncrl(f"{n} threads × 1", f"--threads {n} --envs-per-thread 1") for n in sizes],
        "envs": [asyncrl(f"{workers} threads × {n}", f"{a3c} {n}") for n in sizes],
        "networks": [asyncrl(f"{name}, {workers} × 8", f"{a3c} 8 --network {name}") for name in networks],
        "algos": [asyncrl(f"{name}, {workers} × 8", f"{a3c} 8 --algo {name}") for name in algos],
        "algos-1": [asyncrl(f"{name}, {workers} × 1", f"{a3c} 1 --algo {name}") for name in algos],
        "continuous": [asyncrl(f"Pendulum, {workers} × {n}", f"{a3c} {n} --env Pendulum-v1") for n in (1, 8)],
    }


def steps_per_second(benchmark: Benchmark, seconds: float, warm_up: float) -> float:
    """Run a benchmark in a new process group; raise RuntimeError if it ends or prints nothing for START_SECONDS."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(benchmark.source), str(ROOT)])}
    command = [sys.executable, "-m", "benchmarks.peers", *benchmark.command]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=environment,
            cwd=benchmark.source,
        )
        try:
            rate = _rate(_lines(process), seconds, warm_up)
        finally:
            _stop(process)
        if rate is None:
            errors.seek(0)
            raise RuntimeError(f"{benchmark.label} ended or printed nothing: {errors.read()[-2000:]}")
        return rate


def _rate(lines: Iterator[tuple[int, float]], seconds: float, warm_up: float) -> float | None:
    """Return the steps per second over ``seconds`` after the warm-up; None if the lines end earlier."""
    warm_at: float | None = None
    start: tuple[int, float] | None = None
    for steps, now in lines:
        warm_at = warm_at if warm_at is not None else now + warm_up
        if start is None:
            start = (steps, now) if now >= warm_at else None
        elif now - start[1] >= seconds:
            return (steps - start[0]) / (now - start[1])
    return None


def _stop(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _lines(process: subprocess.Popen[str]) -> Iterator[tuple[int, float]]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(START_SECONDS):
            line = process.stdout.readline()
            if not line:
                return
            steps, seconds = line.split()
            yield int(steps), float(seconds)


def measure(benchmarks: list[Benchmark], rounds: int, seconds: float, warm_up: float) -> dict[str, list[float]]:
    """Return each benchmark's steps per second in each round; rounds are interleaved."""
    rates: dict[str, list[float]] = {benchmark.label: [] for benchmark in benchmarks}
    for turn in range(rounds):
        for benchmark in benchmarks:
            started = time.monotonic()
            rate = steps_per_second(benchmark, seconds, warm_up)
            rates[benchmark.label].append(rate)
            took = time.monotonic() - started
            print(f"round {turn + 1}/{rounds}  {benchmark.label:42} {rate:9,.0f} steps/s  ({took:.0f} s)", flush=True)
    return rates


def table(rates: dict[str, list[float]], references: list[str]) -> str:
    """Return a Markdown table: medians, spread, and the median ratio within a round to each reference."""
    head = ["", "steps/s", "range", *(f"÷ {reference}" for reference in references)]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for label, own in rates.items():
        middle = statistics.median(own)
        ratios = [
            statistics.median(mine / theirs for mine, theirs in zip(own, rates[reference], strict=True))
            for reference in references
        ]
        spread = f"{min(own):,.0f}–{max(own):,.0f}"
        rows.append([label, f"{middle:,.0f}", spread, *(f"{ratio:.2f}" for ratio in ratios)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def other_version(checkout: Path) -> Path:
    """Return the absolute path of a checkout; without its package, a process would import that of this version."""
    if not (checkout / "asyncrl" / "__init__.py").is_file():
        raise typer.BadParameter(f"{checkout} has no package asyncrl.")
    return checkout.resolve()


def machine() -> dict[str, Any]:
    """Return the facts about the machine and the software that a speed depends on."""
    known = provenance.collect()
    wanted = ("cpu", "usable_cores", "commit", "dirty", "compiled")
    return {name: known[name] for name in wanted} | {"versions": provenance.versions(*PEERS)}


def main(
    section: Annotated[str, typer.Argument(help="peers, small, threads, envs, networks, algos, algos-1 or continuous")],
    rounds: Annotated[int, typer.Option(help="runs of each benchmark", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="measured seconds of each run")] = 15.0,
    warm_up: Annotated[float, typer.Option(help="seconds of each run before the measurement")] = 3.0,
    workers: Annotated[int, typer.Option(help="actor-learners, in sections that do not vary them")] = 2,
    against: Annotated[Path | None, typer.Option(help="another checkout, measured in the same rounds")] = None,
    out: Annotated[Path | None, typer.Option(help="write the results to this JSON file")] = None,
) -> None:
    """Measure the benchmarks of a section in several rounds, and print a table."""
    if section not in sections(workers):
        raise typer.BadParameter(f"there is no section {section!r}; there are {', '.join(sections(workers))}.")
    benchmarks = sections(workers)[section]
    if against is not None:
        other = other_version(against)
        pairs = [(one._replace(label=one.label + BEFORE, source=other), one) for one in benchmarks]
        benchmarks = [one for pair in pairs for one in pair if one.command[0] == "asyncrl"]
    rates = measure(benchmarks, rounds, seconds, warm_up)
    is_reference = [not label.startswith("asyncrl") for label in rates] if section == "peers" else []
    references = [label for label, yes in zip(rates, is_reference, strict=False) if yes] or list(rates)[:1]
    if against is not None:
        references = [label for label in rates if label.endswith(BEFORE)]
    about = machine()
    print(
        f"\n{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; {rounds} rounds of {seconds:g} s"
    )
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items()) + "\n")
    print(table(rates, references))
    if out is not None:
        out.write_text(
            json.dumps(about | {"section": section, "seconds": seconds, "steps_per_second": rates}, indent=2)
        )


if __name__ == "__main__":
    typer.run(main)
