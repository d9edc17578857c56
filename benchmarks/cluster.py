"""Measures a training on two nodes of Ray: ``python -m benchmarks.cluster``, as root on Linux.

The parameter server has a network namespace of its own, and both nodes have another one, each with one worker of A3C
on Pong. With ``--gigabits`` and ``--delay`` the link between the namespaces has a rate and a delay; without them it is
as fast as the machine. All processes share the machine's cores. ``benchmarks.nodes`` has a model of the same.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from asyncrl.store.rows import read_rows
from benchmarks.network import Link, Namespace, namespaces
from benchmarks.nodes import numbers, row
from benchmarks.speed import ROOT, machine

PORT = 6379
NODES = 2
CORES = 2  # of a node: a worker and the agent
STORE_BYTES = 78_643_200  # the least that Ray takes
START_SECONDS, STOP_SECONDS = 300.0, 60.0
LOG_SECONDS = 2
COLUMNS = ("push_every", "shards", "frames/s", "pushes/s", "updates/s", "staleness of most pushes", "ms a push")
ALIVE = "import ray; ray.init(log_to_driver=False); print(sum(node['Alive'] for node in ray.nodes()))"


def ray_variables(folder: str) -> dict[str, str]:
    """Return the environment variables of Ray on a machine that is busy, with a token; ``folder`` has a short name.

    Names of Ray's sockets, which are in the folder, may not be longer than about a hundred characters.
    """
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_TMPDIR": folder,
        "RAY_worker_niceness": "0",
        "RAY_raylet_start_wait_time_s": "200",
        "RAY_agent_register_timeout_ms": "200000",
        "RAY_worker_register_timeout_seconds": "200",
    }


def start_ray(server: Namespace, nodes: Namespace, folder: str) -> Mapping[str, str]:
    """Start a head without cores and the nodes; return the environment of a driver. The namespaces end them."""
    environment = os.environ | ray_variables(folder) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ray, address = str(Path(sys.executable).with_name("ray")), f"{server.address}:{PORT}"

    def start(namespace: Namespace, machines: int, *words: str) -> None:
        """Start one machine of Ray, and wait: two at once would choose the same ports."""
        shared = ("--block", "--node-ip-address", namespace.address, "--object-store-memory", str(STORE_BYTES))
        with Path(folder, "ray.log").open("a") as log:
            subprocess.Popen(namespace.command(ray, "start", *shared, *words), env=environment, stdout=log, stderr=log)
        until(lambda: alive(server, environment) == machines, "a machine of Ray")

    start(server, 1, "--head", "--port", str(PORT), "--num-cpus", "0", "--include-dashboard", "false")
    environment["RAY_ADDRESS"] = address
    for i in range(NODES):
        agent = ("--dashboard-agent-listen-port", str(52400 + i))
        start(nodes, 2 + i, "--address", address, "--num-cpus", str(CORES), *agent)
    return environment


def alive(server: Namespace, environment: Mapping[str, str]) -> int:
    """Return how many machines Ray has, the head's included; 0 if it does not answer."""
    command = server.command(sys.executable, "-c", ALIVE)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds; raise RuntimeError if it takes too long."""
    end = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not start within {START_SECONDS:g} seconds")
        time.sleep(1)


def train(server: Namespace, environment: Mapping[str, str], every: int, shards: int, seconds: float) -> list[str]:
    """Train for some seconds, and return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "cluster.push_every": every,
            "cluster.shards": shards,
            "evaluation.episodes": 0,
            "checkpoints.every": "1G",
            "log_seconds": LOG_SECONDS,
        }
        words = f"run --env pong --algo a3c --threads 1 --frames 1G --name run --on ray --nodes {NODES}".split()
        words += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        with Path(folder, "said").open("w+") as said:
            command = server.command(sys.executable, "-m", "asyncrl", *words)
            process = subprocess.Popen(command, env=environment, cwd=folder, stdout=said, stderr=said)
            run = Path(folder, "results", "run")
            wanted = 1 + round(seconds / LOG_SECONDS)

            def rows() -> list[dict[str, Any]]:
                found = read_rows(run, "metrics") if (run / "metrics.jsonl").exists() else []
                # while nodes start there are no updates
                return [each for each in found if each.get("pushes_applied", 0)][2:]

            def is_over() -> bool:
                return process.poll() is not None or len(rows()) >= wanted

            try:
                until(is_over, "a training")
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(STOP_SECONDS)
            measured = rows()[:wanted]
            if len(measured) < wanted:
                said.seek(0)
                raise RuntimeError(f"the training ended: {said.read()[-2000:]}")
            return cells(every, shards, measured)


def cells(every: int, shards: int, rows: list[dict[str, Any]]) -> list[str]:
    """Return a row of the table from rows of metrics, the first of which is where the measurement starts."""
    first, last, measured = rows[0], rows[-1], rows[1:]
    seconds = last["seconds"] - first["seconds"]
    pushes = sum(each.get("pushes_applied", 0) for each in measured) / seconds
    return [
        f"{every}",
        f"{shards}",
        f"{(last['frames'] - first['frames']) / seconds:,.0f}",
        f"{pushes:.1f}",
        f"{(last['updates'] - first['updates']) / seconds:.1f}",
        staleness(measured),
        # of one node, its rollouts included where they wait for the answer
        f"{1000 * NODES / pushes:.0f}",
    ]


def staleness(rows: list[dict[str, Any]]) -> str:
    """Return the class of staleness that has the most pushes, such as ``2 to 3``."""
    names = {name for each in rows for name in each if name.startswith("staleness_")}
    counts = {int(name.removeprefix("staleness_")): sum(each.get(name, 0) for each in rows) for name in names}
    most = max(counts, key=lambda low: counts[low])
    return f"{most} to {2 * most - 1}" if most > 1 else f"{most}"


def main(
    gigabits: Annotated[float, typer.Option(help="of the link, a second; 0 is no limit", min=0)] = 0.0,
    delay: Annotated[float, typer.Option(help="milliseconds that a packet is under way", min=0)] = 0.0,
    push_every: Annotated[str, typer.Option(help="updates of a node between two pushes")] = "1,5,20",
    shards: Annotated[str, typer.Option(help="numbers of parts of θ")] = "1",
    seconds: Annotated[float, typer.Option(help="measured seconds of each training")] = 24.0,
) -> None:
    """Print the table."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc"))):
        raise typer.BadParameter("network namespaces need root, and the commands ip and tc")
    if find_spec("ray") is None:
        raise typer.BadParameter("needs the extra cluster: pip install 'asyncrl[cluster]'")
    cases = [(every, parts) for parts in numbers(shards, int) for every in numbers(push_every, int)]
    about = machine()
    link = f"{gigabits:g} Gb/s" if gigabits else "no limit"
    print(f"{about['cpu']}, {about['usable_cores']} cores, commit {about['commit']}; link: {link}, {delay:g} ms\n")
    print(f"{row(*COLUMNS)}\n{row(*['---:'] * len(COLUMNS))}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        namespaces(Link(gigabits, delay)) as (server, nodes),
    ):
        environment = start_ray(server, nodes, folder)
        for every, parts in cases:
            print(row(*train(server, environment, every, parts, seconds)), flush=True)


if __name__ == "__main__":
    typer.run(main)
