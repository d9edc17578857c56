"""Runs on a cluster by the command line, with a stand-in for Ray: the process with the parameter server is lost."""

import os
import signal
from pathlib import Path

import pytest

from asyncrl.store import checkpoint
from asyncrl.store.document import read_document
from tests.cluster.commands import rows, started, steps
from tests.runtime.setups import children, is_alive, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SECONDS = 200
TRAIN = ("run", "--env", "CartPole-v1", "--threads", 1, "--on", "ray", "--nodes", 2, "--name", "two")
QUICK = {"evaluation__episodes": 0, "log_seconds": 0.2, "cluster__push_every": 4}


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Let commands import the stand-in for Ray; return the run that they train."""
    here = Path(__file__).parent
    paths = [str(here / "stand_in"), str(here.parents[1]), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("RAY_FAILS", str(tmp_path / "fails"))
    return tmp_path / "results/two"


def server_of(driver):
    """Return the process with the parameter server."""
    (only,) = children(driver.pid)
    return only


def descendants(pid):
    """Return all processes below one."""
    below = children(pid)
    return below.union(*map(descendants, below))


def printed(root):
    return (root / "said").read_text()


def check(run, budget, losses):
    """Check that the budget is met, that each step counts once, and how often the server was lost."""
    metrics, document = rows(run, "metrics"), read_document(run)
    assert (document["status"], document["sessions"]) == ("finished", losses)
    assert document["steps"] >= budget
    counted = [row["steps"] for row in metrics]
    assert counted == sorted(set(counted))
    assert sum(row["length"] for row in rows(run, "episodes")) <= document["steps"]
    # each update is one push that was applied
    assert checkpoint.load(run).tensors["counters"][:, 1].sum() == document["updates"]
    lost = [row for row in rows(run, "failures") if row["source"] == "server"]
    assert len(lost) == losses
    assert not any(row["is_final"] for row in lost)


def test_run_on_nodes_server_killed_twice_goes_on_from_its_checkpoint_to_the_budget(cluster, tmp_path, faults):
    budget = 40_000
    with started(tmp_path, *TRAIN, "--frames", budget, checkpoints__every=2000, **QUICK) as driver:
        for beyond in (3000, 10_000):
            assert wait_until(lambda beyond=beyond: steps(cluster) > beyond, SECONDS)
            lost = server_of(driver)
            below = descendants(lost)
            faults.inject("the process with the parameter server killed")
            os.kill(lost, signal.SIGKILL)
            assert wait_until(lambda lost=lost: children(driver.pid) not in (set(), {lost}), SECONDS)
            assert wait_until(lambda below=below: not any(map(is_alive, below)))
            faults.survive("the process with the parameter server killed")
        assert driver.wait(SECONDS) == 0
    check(cluster, budget, losses=2)
    assert printed(tmp_path).count("the parameter server was lost: its process exited unexpectedly (signal 9)") == 2
    assert "Traceback" not in printed(tmp_path)


def test_run_on_nodes_shard_killed_goes_on_to_the_budget(cluster, tmp_path, faults):
    budget = 30_000
    # without a pause, in which a shard that is lost would get its part back at once
    settings = {"cluster__shards": 3, "checkpoints__every": "1G"}
    with started(tmp_path, *TRAIN, "--frames", budget, **settings, **QUICK) as driver:
        assert wait_until(lambda: steps(cluster) > 5000, SECONDS)
        server = server_of(driver)
        # actors of nodes have workers
        shards = [pid for pid in children(server) if not children(pid)]
        assert len(shards) == 2
        faults.inject("the process of a shard killed")
        os.kill(shards[0], signal.SIGKILL)
        assert driver.wait(SECONDS) == 0
    check(cluster, budget, losses=0)
    (reason,) = [row["reason"] for row in rows(cluster, "failures")]
    assert reason in [f"shard {i} was lost; its weights are those of the last pause" for i in (1, 2)]
    faults.survive("the process of a shard killed")


def test_run_on_nodes_session_ends_by_an_error_of_the_cluster_goes_on(cluster, tmp_path):
    budget = 12_000
    with started(tmp_path, *TRAIN, "--frames", budget, checkpoints__every=1000, **QUICK) as driver:
        assert wait_until(lambda: steps(cluster) > 2000, SECONDS)
        (tmp_path / "fails").touch()
        assert driver.wait(SECONDS) == 0
    check(cluster, budget, losses=1)
    assert "the parameter server was lost: RayError: the head is lost; back to step" in printed(tmp_path)


def test_run_on_nodes_killed_before_the_first_period_has_a_checkpoint_to_begin_from(cluster, tmp_path):
    with started(tmp_path, *TRAIN, "--frames", "1G", "--set", "workers.restarts=1", **QUICK) as driver:
        for _ in range(2):
            assert wait_until(lambda: children(driver.pid) and read_status(cluster) == "running", SECONDS)
            lost = server_of(driver)
            assert wait_until(lambda lost=lost: holder(cluster) == lost and rows(cluster, "metrics"), SECONDS)
            os.kill(lost, signal.SIGKILL)
            assert wait_until(lambda lost=lost: not is_alive(lost))
        assert driver.wait(SECONDS) == 4
    assert "the parameter server was lost too often: its process exited unexpectedly (signal 9)" in printed(tmp_path)
    assert rows(cluster, "failures")[0]["reason"].endswith("back to step 0")


def read_status(run):
    return read_document(run)["status"] if (run / "run.json").exists() else None


def holder(run):
    """Return the process that a run's lock names."""
    words = (run / "lock").read_text().split()
    return int(words[1]) if words else None


def test_run_on_nodes_terminated_stops_with_a_checkpoint_and_is_resumed(cluster, tmp_path):
    with started(tmp_path, *TRAIN, "--frames", "1G", **QUICK) as driver:
        assert wait_until(lambda: steps(cluster) > 500, SECONDS)
        below = descendants(driver.pid)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(SECONDS) == 143
        assert not any(map(is_alive, below))
    assert read_document(cluster)["status"] == "interrupted"
    assert checkpoint.load(cluster).step == read_document(cluster)["steps"]
    budget = steps(cluster) + 1000
    with started(tmp_path, "resume", "two", "--on", "ray", "--frames", budget) as driver:
        assert driver.wait(SECONDS) == 0
    assert read_document(cluster)["steps"] >= budget
    assert not rows(cluster, "failures")


def test_run_on_nodes_terminated_before_there_is_a_run_offers_no_resume(cluster, tmp_path):
    with started(tmp_path, *TRAIN, "--frames", "1G", **QUICK) as driver:
        # the process with the parameter server still imports
        assert wait_until(lambda: children(driver.pid), SECONDS)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(SECONDS) == 143
    assert "resume" not in printed(tmp_path)
    assert "Traceback" not in printed(tmp_path)
    assert not cluster.exists()


def test_run_on_nodes_command_killed_leaves_no_process(cluster, tmp_path):
    with started(tmp_path, *TRAIN, "--frames", "1G", **QUICK) as driver:
        assert wait_until(lambda: steps(cluster) > 500, SECONDS)
        below = descendants(driver.pid)
        assert len(below) >= 5
        driver.kill()
        driver.wait()
        assert wait_until(lambda: not any(map(is_alive, below)))


def test_run_on_nodes_of_a_name_that_is_taken_is_one_line(cluster, tmp_path):
    cluster.mkdir(parents=True)
    with started(tmp_path, *TRAIN, "--frames", "1G", **QUICK) as driver:
        assert driver.wait(SECONDS) == 2
    assert printed(tmp_path).count("\n") == 1
    assert "There is a run 'two' in results already; choose another name." in printed(tmp_path)
