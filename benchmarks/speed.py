"""How fast training is, beside others: ``python -m benchmarks.speed peers``.

Every round runs each contestant once, in turn, so that a machine whose speed drifts is unfair to none. The figures to
believe are the ratios, formed within each round; the table gives their medians.
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
START_SECONDS = 120.0  # that a contestant may take to its first line
BEFORE = ", before"
PEERS = ("pfrl", "stable-baselines3")


class Contestant(NamedTuple):
    """A command of contestants.py."""

    label: str
    command: tuple[str, ...]
    source: Path = ROOT  # of the asyncrl that it imports


def asyncrl(label: str, arguments: str, source: Path = ROOT) -> Contestant:
    """Time ``asyncrl run`` with these arguments."""
    return Contestant(label, ("asyncrl", *arguments.split()), source)


def emulator(processes: int, envs: int) -> Contestant:
    """Time the emulator alone."""
    return Contestant(f"emulator alone, {processes} × {envs}", ("emulator", str(processes), str(envs)))


def sections(workers: int) -> dict[str, list[Contestant]]:
    """Return the contestants of each section; the first is what the others are divided by."""
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
            Contestant(f"PFRL A3C, {workers} processes", ("pfrl", str(workers))),
            Contestant("Stable-Baselines3 A2C, 16 environments", ("sb3", "16")),
        ],
        "threads": [asyncrl(f"{n} threads × 1", f"--threads {n} --envs-per-thread 1") for n in sizes],
        "envs": [asyncrl(f"{workers} threads × {n}", f"{a3c} {n}") for n in sizes],
        "networks": [asyncrl(f"{name}, {workers} × 8", f"{a3c} 8 --network {name}") for name in networks],
        "algos": [asyncrl(f"{name}, {workers} × 8", f"{a3c} 8 --algo {name}") for name in algos],
        "algos-1": [asyncrl(f"{name}, {workers} × 1", f"{a3c} 1 --algo {name}") for name in algos],
        "continuous": [asyncrl(f"Pendulum, {workers} × {n}", f"{a3c} {n} --env Pendulum-v1") for n in (1, 8)],
    }


def steps_per_second(contestant: Contestant, seconds: float, warm_up: float) -> float:
    """Run a contestant in a process group of its own; raise RuntimeError where it ends by itself."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(contestant.source), str(ROOT)])}
    command = [sys.executable, "-m", "benchmarks.contestants", *contestant.command]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
            env=environment,
            cwd=contestant.source,
        )
        try:
            rate = _rate(_lines(process), seconds, warm_up)
        finally:
            _end(process)
        if rate is None:
            complaints.seek(0)
            raise RuntimeError(f"{contestant.label} ended or fell silent: {complaints.read()[-2000:]}")
        return rate


def _rate(lines: Iterator[tuple[int, float]], seconds: float, warm_up: float) -> float | None:
    """Return the rate over ``seconds`` after the warm-up; None where the lines end before."""
    warm: float | None = None
    start: tuple[int, float] | None = None
    for steps, now in lines:
        warm = warm if warm is not None else now + warm_up
        if start is None:
            start = (steps, now) if now >= warm else None
        elif now - start[1] >= seconds:
            return (steps - start[0]) / (now - start[1])
    return None


def _end(process: "subprocess.Popen[str]") -> None:
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


def measure(contestants: list[Contestant], rounds: int, seconds: float, warm_up: float) -> dict[str, list[float]]:
    """Return each contestant's steps per second in each round, interleaved."""
    rates: dict[str, list[float]] = {contestant.label: [] for contestant in contestants}
    for turn in range(rounds):
        for contestant in contestants:
            started = time.monotonic()
            rate = steps_per_second(contestant, seconds, warm_up)
            rates[contestant.label].append(rate)
            took = time.monotonic() - started
            print(f"round {turn + 1}/{rounds}  {contestant.label:42} {rate:9,.0f} steps/s  ({took:.0f} s)", flush=True)
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


def machine() -> dict[str, Any]:
    """Return what a figure depends on."""
    known = provenance.collect()
    wanted = ("cpu", "usable_cores", "commit", "dirty", "compiled")
    return {name: known[name] for name in wanted} | {"versions": provenance.versions(*PEERS)}


def main(
    section: Annotated[str, typer.Argument(help="peers, threads, envs, networks, algos, algos-1 or continuous")],
    rounds: Annotated[int, typer.Option(help="how often each contestant runs", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="timed, of each run")] = 15.0,
    warm_up: Annotated[float, typer.Option(help="not timed, at the start of each")] = 3.0,
    workers: Annotated[int, typer.Option(help="actor-learners where the section does not vary them")] = 2,
    against: Annotated[Path | None, typer.Option(help="another checkout, timed beside this one")] = None,
    out: Annotated[Path | None, typer.Option(help="a JSON file to write")] = None,
) -> None:
    """Time a section's contestants, several rounds in turn, and print a table."""
    contestants = sections(workers)[section]
    if against is not None:
        pairs = [(one._replace(label=one.label + BEFORE, source=against.resolve()), one) for one in contestants]
        contestants = [one for pair in pairs for one in pair if one.command[0] == "asyncrl"]
    rates = measure(contestants, rounds, seconds, warm_up)
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
