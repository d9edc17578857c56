"""What this process may use of the machine, and whether that is enough for a run."""

import math
import os
import resource
import shutil
from pathlib import Path
from typing import Literal, NamedTuple

MIB = 2**20
SHM = Path("/dev/shm")  # where processes share memory
FILES, FILES_OF_A_WORKER = 40, 3  # descriptors: those of Python, torch and the store; a pipe and two of its process
CROWDED = 4  # times as many threads as cores: worth a word
AMPLE = 4  # times what is needed: not worth a word

Verdict = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """What one check found."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""  # what to do, where the verdict is not ok


def core_numbers() -> list[int]:
    """Return the system's numbers of the processors that this process may use; none where it does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def cores() -> int:
    """Return how many processors this process may use."""
    return len(core_numbers()) or os.cpu_count() or 1


def processors(threads: int) -> Check:
    """See how many processors so many actor-learners will share."""
    usable = cores()
    found = f"{usable} of {os.cpu_count()} usable"
    if usable == 1 and threads > 1:
        return Check("cores", "warn", found, "Workers take turns on one core: any number of threads works, slowly.")
    if threads > CROWDED * usable:
        turns = f"{threads} threads take turns on {usable} cores: that works, and is no faster than {usable} threads."
        return Check("cores", "warn", found, turns)
    return Check("cores", "ok", found)


def shared_memory(needed: int, path: Path = SHM) -> Check:
    """See that so many bytes fit where processes share memory; writing to more than there is would kill the run."""
    if not path.exists():
        return Check("shared memory", "warn", f"no {path}", "Processes may not be able to share weights.")
    free = shutil.disk_usage(path).free
    found = f"{size(free)} free in {path}, a run needs {size(needed)}"
    return _judged("shared memory", free, needed, found, "In a container, start it with --shm-size=1g.")


def open_files(workers: int) -> Check:
    """See that pipes can be opened to so many workers; raise this process's limit to what they need, if it may be."""
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
    """See that a directory, there or yet to be made, can be written, and that so many bytes fit."""
    place = results.resolve()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Check("disk", "fail", f"Cannot write results to {results}", "Choose another place with --results DIR.")
    free = shutil.disk_usage(place).free
    found = f"{size(free)} free for {results}, checkpoints need {size(needed)}"
    return _judged("disk", free, needed, found, "Free some space, or choose another place with --results DIR.")


def _judged(name: str, free: int, needed: int, found: str, advice: str) -> Check:
    verdict: Verdict = "fail" if free < needed else "warn" if free < AMPLE * needed else "ok"
    return Check(name, verdict, found, "" if verdict == "ok" else advice)


def size(number: int) -> str:
    """Write a number of bytes for people, a small one rounded up."""
    if number >= 2**30:
        return f"{number / 2**30:,.1f} GiB"
    return f"{number / MIB:,.0f} MiB" if number >= 10 * MIB else f"{math.ceil(100 * number / MIB) / 100:.2f} MiB"
