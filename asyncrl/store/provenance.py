"""The provenance of a run: its code and machine. Only listed values are stored, so no private ones."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asyncrl.kernels import native
from asyncrl.system import machine

PACKAGES = ("asyncrl", "torch", "numpy", "gymnasium", "ale-py", "minatar")


def collect() -> dict[str, Any]:
    """Return versions, commit, processor and start time; None for an unknown one."""
    commit, dirty = commit_of(Path(__file__).parents[2])
    return {
        "versions": versions(),
        "commit": commit,
        "dirty": dirty,
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": machine.cores(),
        # Compiled kernels give the same numbers up to rounding.
        "compiled": native.load() is not None,
        "program": Path(sys.argv[0]).name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions(*others: str) -> dict[str, str | None]:
    """Return the versions of Python and of the packages that influence results, without importing them."""
    return {"python": platform.python_version(), **{package: _version(package) for package in (*PACKAGES, *others)}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit_of(checkout: Path) -> tuple[str | None, bool | None]:
    """Return the commit of asyncrl's checkout, and whether the package differs from it; None if it is no checkout."""
    top = _git(checkout, "rev-parse", "--show-toplevel")
    commit = _git(checkout, "rev-parse", "HEAD")
    # asyncrl may be installed inside the checkout of another project.
    if commit is None or top is None or Path(top).resolve() != checkout.resolve():
        return None, None
    changes = _git(checkout, "status", "--porcelain", "--", "asyncrl")
    return commit, None if changes is None else bool(changes)


def _git(checkout: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()
