"""Sweeps on two nodes of Ray: each cell once, whatever is lost."""

import json
import os
import signal
import subprocess
import sys

import pytest
import tomli_w

from asyncrl.store.rows import read_rows
from asyncrl.store.runs import list_runs
from asyncrl.sweeping import run as sweeping
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.ray_tasks import RayTasks
from tests.runtime.setups import wait_until

pytestmark = pytest.mark.cluster

BASE = {"env": "CartPole-v1", "threads": 1, "frames": 6000, "evaluation": {"episodes": 1}}
TABLE = {"sweep": {"seeds": 4}, "base": BASE | {"checkpoints": {"every": 500}}}


def documents(root):
    return {run.name: json.loads((run / "run.json").read_text()) for run in list_runs(root)} if root.exists() else {}


def finished(root):
    return {name for name, document in documents(root).items() if document["status"] == "finished"}


def running(root):
    return {name for name, document in documents(root).items() if document["status"] == "running"}


def check(root, seeds=4):
    """Check that there is each cell once, with all of its frames, each step once."""
    found = documents(root)
    assert sorted(document["config"]["seed"] for document in found.values()) == list(range(1, seeds + 1))
    assert finished(root) == set(found)
    for name in found:
        assert found[name]["steps"] >= BASE["frames"]
        steps = [row["steps"] for row in read_rows(root / name, "metrics")]
        assert steps == sorted(set(steps))
        evaluated = [row["steps"] for row in read_rows(root / name, "evaluations")]
        assert evaluated == sorted(set(evaluated))
    assert not [path for path in root.iterdir() if path.name.startswith(".tmp-")]


@pytest.mark.parametrize("shares", [True, False])
def test_sweep_node_removed_in_the_middle_and_brought_back_has_each_cell_once(nodes, tmp_path, monkeypatch, shares):
    monkeypatch.setattr("asyncrl.sweeping.ray_tasks.ARCHIVE_SECONDS", 0.5)
    monkeypatch.setattr(RayTasks.__init__, "__defaults__", (None, shares))
    root = tmp_path / "s"
    first, second = nodes.add(), nodes.add()
    third = []

    def show(progress):
        """Remove a node as soon as both train a cell that has a checkpoint here, and add one (in the main thread)."""
        saved = [name for name in running(root) if any((root / name / "checkpoints").glob("*/"))]
        if len(saved) == 2 and not third:
            assert not finished(root)
            nodes.remove(second)
            third.append(nodes.add())

    request = sweeping.Request(parse(TABLE), tomli_w.dumps(TABLE), root)
    result = sweeping.run(request, show, sweeping.Options(on="ray"))
    assert result.code == 0
    assert third
    check(root)
    # the cell of the lost node went on from a checkpoint
    assert any(document["sessions"] for document in documents(root).values())
    for node in (first, *third):
        nodes.remove(node)


def test_sweep_driver_killed_and_restarted_repeats_nothing(nodes, tmp_path):
    node = nodes.add(cores=2)
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(TABLE))
    command = [sys.executable, "-m", "asyncrl", "sweep", "mine.toml", "--on", "ray"]
    root = tmp_path / "results/mine"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, env=dict(os.environ)) as driver:
        assert wait_until(lambda: len(finished(root)) >= 1 and len(running(root)) >= 1, 400)
        driver.send_signal(signal.SIGKILL)
    done = {name: (root / name / "run.json").stat().st_mtime_ns for name in finished(root)}
    again = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=500)
    assert again.returncode == 0, again.stderr
    check(root)
    assert done == {name: (root / name / "run.json").stat().st_mtime_ns for name in done}
    nodes.remove(node)


def test_sweep_with_a_wrong_token_is_refused_in_one_line(nodes, tmp_path):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(TABLE))
    command = [sys.executable, "-m", "asyncrl", "sweep", "mine.toml", "--on", "ray"]
    wrong = os.environ | {"RAY_AUTH_TOKEN": "0" * 32}
    done = subprocess.run(command, cwd=tmp_path, env=wrong, capture_output=True, text=True, timeout=500)
    assert done.returncode == 2
    assert "Cannot connect to ray" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
