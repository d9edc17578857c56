"""The cores, memory, disk and open files that this process may use, and checks that they suffice for a run."""

import math
import os
import resource
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

MIB = 2**20
SHM = Path("/dev/shm")  # the file system of shared memory
# file descriptors: of Python, torch and the store; of each worker, a pipe and two of its process
FILES, FILES_OF_A_WORKER = 40, 3
# warn if there are more than this many threads for each core
MAX_THREADS_PER_CORE = 4
# warn if less than this multiple of the needed bytes is free
FREE_FACTOR = 4

Verdict = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """The result of one check."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""  # what the user can do; empty if the verdict is ok


def core_numbers() -> list[int]:
    """Return the numbers of the cores that this process may use; an empty list if the system does not report them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(core_numbers()) or os.cpu_count() or 1


def processors(threads: int) -> Check:
    """Check the number of cores for this number of actor-learners; too few are a warning."""
    usable = cores()
    found = f"{usable} of {os.cpu_count()} usable"
    if usable == 1 and threads > 1:
        return Check("cores", "warn", found, "All threads take turns on one core: this works, but is slow.")
    if threads > MAX_THREADS_PER_CORE * usable:
        advice = f"{threads} threads take turns on {usable} cores: this works, but is no faster than {usable} threads."
        return Check("cores", "warn", found, advice)
    return Check("cores", "ok", found)


def memory(needed: int, settings: str) -> Check:
    """Check that memory has room for the needed bytes, which the named settings decide; a larger need is a failure."""
    free = _available_memory()
    if free is None:
        return Check("memory", "ok", f"a run needs {size(needed)}")
    found = f"{size(free)} available, a run needs {size(needed)}"
    verdict: Verdict = "fail" if free < needed else "ok"
    return Check("memory", verdict, found, "" if verdict == "ok" else f"Reduce {settings}.")


def _available_memory() -> int | None:
    """Return the bytes that this process and its children may still take; None where that is not known."""
    free: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        # the limit of a container; "max", which is no number, without one
        free.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(free, default=None)


def shared_memory(needed: int, path: Path = SHM) -> Check:
    """Check that shared memory has room for the needed bytes; writing beyond its size would kill the process."""
    if not path.exists():
        return Check("shared memory", "warn", f"no {path}", "Processes may be unable to share weights.")
    free = shutil.disk_usage(path).free
    found = f"{size(free)} free in {path}, a run needs {size(needed)}"
    return _compare("shared memory", free, needed, found, "In a container, start it with --shm-size=1g.")


def open_files(workers: int) -> Check:
    """Check that pipes to this number of workers can be opened; raise this process's limit if that is allowed."""
    needed = FILES + FILES_OF_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_less(soft, needed):
        soft = needed if not _is_less(hard, needed) else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft} at once"
    found += f", a run of {workers} workers needs {needed}"
    if _is_less(soft, needed):
        return Check(
            "open files", "fail", found, f"Raise the limit before a run (ulimit -n {needed}), or use fewer threads."
        )
    return Check("open files", "ok", found)


def _is_less(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed


def disk(results: Path, needed: int) -> Check:
    """Check that a directory, which need not exist yet, can be written and has room for the needed bytes."""
    place = results.resolve()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Check("disk", "fail", f"Cannot write results to {results}", "Choose another directory: --results DIR.")
    free = shutil.disk_usage(place).free
    found = f"{size(free)} free for {results}, checkpoints need {size(needed)}"
    return _compare("disk", free, needed, found, "Free some space, or choose another directory with --results DIR.")


def _compare(name: str, free: int, needed: int, found: str, advice: str) -> Check:
    verdict: Verdict = "fail" if free < needed else "warn" if free < FREE_FACTOR * needed else "ok"
    return Check(name, verdict, found, "" if verdict == "ok" else advice)


def size(number: int) -> str:
    """Format a number of bytes in MiB or GiB; a small one is rounded up."""
    if number >= 2**30:
        return f"{number / 2**30:,.1f} GiB"
    return f"{number / MIB:,.0f} MiB" if number >= 10 * MIB else f"{math.ceil(100 * number / MIB) / 100:.2f} MiB"
