"""A hidden command of ``asyncrl`` in a process of its own, which reads a request from its standard input."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

Process = subprocess.Popen[str]


def start_command(
    name: str, output: IO[bytes] | None = None, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> Process:
    """Start a command in a process group of its own; it waits for its request.

    Args:
        name: of the command.
        output: a file for what it prints; None: where this process prints.
        cwd: its directory; None: that of this process.
        env: its environment; None: that of this process.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "asyncrl", name],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        text=True,
        process_group=0,
        cwd=cwd,
        env=env,
    )


def send_request(process: Process, request: Mapping[str, Any]) -> None:
    """Send a process its request, as JSON."""
    assert process.stdin is not None
    # it was killed at once; its exit code reports that
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request))
        process.stdin.close()
