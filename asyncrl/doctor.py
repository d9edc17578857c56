"""Checks whether this machine can train: one line per check, with advice if it fails.

system/machine.py has the checks of cores, memory and disk, which every run makes, too.
"""

import platform
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from asyncrl.cluster import checks as cluster
from asyncrl.config import RunConfig
from asyncrl.kernels import native
from asyncrl.system import machine
from asyncrl.system.machine import Check, Verdict
from asyncrl.text import error_text, escape

if TYPE_CHECKING:
    from torch import Tensor

OLDEST = {"torch": "2.8", "gymnasium": "1.2", "ale-py": "0.12.1"}
PYTHONS = ((3, 11), (3, 14))  # the first supported one, and the first one that is not
SHARED_BYTES = 16 * machine.MIB  # θ, θ⁻ and g of the small network; the largest one needs three times as much
DISK_BYTES = 100 * machine.MIB  # checkpoints of one run
CHILD_SECONDS = 120.0
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def run_checks(results: Path, on: str | None = None) -> Iterator[Check]:
    """Yield the result of every check as soon as it is known; the last ones take seconds.

    Args:
        results: the directory of all runs.
        on: ``ray``, or ``ray://HOST:PORT``: the nodes of this cluster, too; None: only this machine.

    Raises:
        InputError: there is no cluster at the address that takes this connection.
    """
    threads = RunConfig().threads
    checks: dict[str, Callable[[], Check]] = {
        "python": python,
        **{package: partial(package_version, package) for package in OLDEST},
        "games": games,
        "cores": partial(machine.processors, threads),
        "compiler": compiler,
        "shared memory": partial(machine.shared_memory, SHARED_BYTES),
        "open files": partial(machine.open_files, threads),
        "disk": partial(machine.disk, results, DISK_BYTES),
        "processes": processes,
        "emulator": emulator,
    }
    for name, check in checks.items():
        try:
            yield check()
        # An exception is the result of this check; the others still run.
        except Exception as error:
            reason = error_text(error)
            yield Check(name, "fail", reason, "Reinstall: pip install --force-reinstall asyncrl")
    if on is not None:
        yield from cluster.run_checks(on)


def line(check: Check) -> RenderableType:
    """Lay out one check, with its advice below."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=4)
    grid.add_column(width=13)
    grid.add_column()
    grid.add_row(Text(check.verdict, STYLES[check.verdict]), check.name, Text(escape(check.found)))
    if check.advice:
        grid.add_row("", "", Text(f"→ {escape(check.advice)}", STYLES[check.verdict]))
    return grid


def python() -> Check:
    """Check that asyncrl is tested on this Python."""
    found = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    running = tuple(map(int, platform.python_version_tuple()[:2]))
    if platform.system() != "Linux":
        return Check("python", "warn", found, "asyncrl is tested on Linux.")
    if PYTHONS[0] <= running < PYTHONS[1]:
        return Check("python", "ok", found)
    return Check("python", "warn", found, "asyncrl is tested on Python 3.11 to 3.13.")


def package_version(package: str) -> Check:
    """Check that a package is installed and new enough, without importing it."""
    oldest = OLDEST[package]
    advice = f'pip install --upgrade "{package}>={oldest}"'
    try:
        found = version(package)
    except PackageNotFoundError:
        return Check(package, "fail", "not installed", advice)
    verdict: Verdict = "ok" if _numbers(found) >= _numbers(oldest) else "fail"
    return Check(package, verdict, found, "" if verdict == "ok" else advice)


def _numbers(text: str) -> tuple[int, ...]:
    """Read ``2.13.0+cpu`` as (2, 13, 0)."""
    parts = text.partition("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def games() -> Check:
    """Check that the ROMs of the emulator are installed."""
    from ale_py import roms

    known = roms.get_all_rom_ids()
    found = sum(roms.get_rom_path(name) is not None for name in known)
    if "pong" not in known or found < len(known):
        return Check("games", "fail", f"{found} of {len(known)} ROMs", "pip install --force-reinstall ale-py")
    return Check("games", "ok", f"{found} Atari ROMs")


def compiler() -> Check:
    """Check that the compiled kernels are used."""
    if native.load() is not None:
        return Check("compiler", "ok", native.status())
    advice = "Training works, but is slower on Atari."
    for reason, way_out in (
        (native.NO_COMPILER, "Install gcc, or set CC."),
        (native.NO_CACHE, "Set XDG_CACHE_HOME to a directory of your own."),
    ):
        advice += f" {way_out}" if native.status().startswith(reason) else ""
    return Check("compiler", "warn", native.status(), advice)


def processes() -> Check:
    """Check that a spawned process can write to memory that this process reads."""
    import torch

    from asyncrl.runtime.spawn import CONTEXT

    shared = torch.zeros(1).share_memory_()  # type: ignore[no-untyped-call]
    child = CONTEXT.Process(target=_write, args=(shared,), daemon=True)
    child.start()
    child.join(CHILD_SECONDS)
    if child.is_alive():
        child.kill()
        child.join()
    if shared.item() == 1.0 and child.exitcode == 0:
        return Check("processes", "ok", "a spawned process shares memory with this one")
    found = f"no shared memory with a spawned process (exit code {child.exitcode})"
    return Check("processes", "fail", found, "Check whether a sandbox or a container forbids shared memory.")


def _write(shared: "Tensor") -> None:
    shared.fill_(1.0)


def emulator() -> Check:
    """Check that an Atari game runs."""
    import numpy as np

    from asyncrl.config import Atari
    from asyncrl.envs.make import make

    pong = make("pong", 1, training=True, atari=Atari())
    try:
        obs = pong.reset([1])
        pong.step(np.zeros(1, dtype=np.int64))
    finally:
        pong.close()
    return Check("emulator", "ok", f"pong runs; an observation is {' × '.join(map(str, obs.shape[1:]))} {obs.dtype}")
