"""Trainings on Ray by the command line, and the processes of their workers."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import torch

from asyncrl.store import checkpoint
from asyncrl.store.rows import read_rows
from tests.runtime.setups import is_alive, parent

SECONDS = 500  # of one command at most


def command(*words, **settings):
    """Return a command line; settings are those of ``--set``."""
    sets = [word for name, value in settings.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]
    return [sys.executable, "-m", "asyncrl", *map(str, words), *sets]


def run(root, *words, **settings):
    """Run a command to its end in a directory, and check that it went well."""
    done = subprocess.run(command(*words, **settings), cwd=root, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


@contextmanager
def started(root, *words, **settings):
    """Start a command in a directory; it does not outlive the context."""
    with (root / "said").open("a") as said:
        process = subprocess.Popen(command(*words, **settings), cwd=root, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def rows(run, name):
    """Return the rows that a run, which may not exist yet, has written."""
    return read_rows(run, name) if (run / f"{name}.jsonl").exists() else []


def steps(run):
    """Return the T of the last row of metrics."""
    return max((row["steps"] for row in rows(run, "metrics")), default=0)


def same(one, other):
    """Return whether the last checkpoints of two runs have the same vectors and counters."""
    first, second = (checkpoint.load(run).tensors for run in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def node_workers():
    """Return the worker processes of this test's nodes, each with the process ids of its actor and its raylet."""
    token = f"RAY_AUTH_TOKEN={os.environ['RAY_AUTH_TOKEN']}".encode()
    found = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            is_spawned = b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()
            if not is_spawned or token not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                continue
            actor = parent(pid)
            if Path(f"/proc/{actor}/cmdline").read_bytes().startswith(b"ray::"):
                found[pid] = actor, parent(actor)
        except OSError:
            continue  # it has ended
    return found


def have_ended(pids):
    """Return whether all of these processes have ended."""
    return not any(is_alive(pid) for pid in pids)
