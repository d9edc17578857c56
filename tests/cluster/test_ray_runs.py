"""One training on nodes of Ray: the weights of a run without nodes, and the whole budget, whatever is lost."""

import os
import signal

import pytest

from asyncrl.store.document import read_document
from tests.cluster.commands import have_ended, node_workers, rows, run, same, started, steps
from tests.runtime.setups import children, wait_until

pytestmark = pytest.mark.cluster

CARTPOLE = ("run", "--env", "CartPole-v1", "--threads", 1)
GONE_SECONDS = 60  # in which the workers of a dead node end
QUICK = {"evaluation__episodes": 0, "log_seconds": 0.5}


@pytest.fixture
def add(nodes):
    """Return a function that adds a machine for an agent with one worker; all are removed afterwards."""
    added = []

    def add():
        added.append(nodes.add(cores=2))
        return added[-1]

    yield add
    for node in added:
        if node.any_processes_alive():
            nodes.remove(node)


def raylet(node):
    """Return the process id of a machine's raylet."""
    (only,) = node.all_processes["raylet"]
    return only.process.pid


def check_counts(path, budget):
    """Check that the budget is met, and that each push was applied once."""
    metrics, document = rows(path, "metrics"), read_document(path)
    assert document["status"] == "finished"
    assert budget <= document["steps"]
    assert not any("pushes_repeated" in row or "pushes_ahead" in row for row in metrics)
    # each update is one applied push, and each episode was reported at most once
    assert sum(row["length"] for row in rows(path, "episodes")) <= document["steps"]
    counted = [row["steps"] for row in metrics]
    assert counted == sorted(set(counted))


@pytest.mark.parametrize(
    ("algo", "optimizer", "shards"),
    [("a3c", "shared-rmsprop", 1), ("a3c", "shared-rmsprop", 3), ("one-step-q", "momentum", 1)],
)
def test_run_on_one_node_with_one_worker_has_the_weights_of_a_local_run(add, tmp_path, algo, optimizer, shards):
    add()
    words = *CARTPOLE, "--algo", algo, "--frames", 2000
    settings = {"optimizer__name": optimizer, "evaluation__every": 1000, "evaluation__episodes": 2}
    run(tmp_path, *words, "--name", "local", **settings)
    cluster = {"cluster__push_every": 1, "cluster__shards": shards}
    run(tmp_path, *words, "--name", "node", "--on", "ray", **cluster, **settings)
    local, node = tmp_path / "results/local", tmp_path / "results/node"
    assert same(local, node)
    assert [row["score"] for row in rows(local, "episodes")] == [row["score"] for row in rows(node, "episodes")]
    assert sum(row.get("pushes_applied", 0) for row in rows(node, "metrics")) > 100


def test_run_on_two_nodes_one_killed_and_another_added_goes_on_with_both(nodes, add, tmp_path):
    machines = {raylet(node): node for node in (add(), add())}
    path = tmp_path / "results/two"
    words = *CARTPOLE, "--frames", "1G", "--name", "two", "--on", "ray", "--nodes", 2
    with started(tmp_path, *words, cluster__push_every=4, **QUICK) as driver:
        assert wait_until(lambda: {row["worker"] for row in rows(path, "episodes")} == {0, 1}, 500)
        workers = node_workers()
        assert {at for _, at in workers.values()} == set(machines)
        process, (_, at) = workers.popitem()
        nodes.remove(machines[at])
        add()
        assert wait_until(lambda: have_ended([process]), GONE_SECONDS)
        assert wait_until(lambda: rows(path, "failures"), 500)
        lost, counted = rows(path, "failures")[0]["reason"].split()[1], len(rows(path, "episodes"))
        # another incarnation of the lost node, on the new machine, and the other node have played since
        assert wait_until(lambda: {row["worker"] for row in rows(path, "episodes")[counted:]} == {0, 1}, 500)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(500) == 143
    budget = steps(path) + 1000
    run(tmp_path, "resume", "two", "--on", "ray", "--frames", budget)
    check_counts(path, budget)
    reasons = [row["reason"] for row in rows(path, "failures")]
    # Ray may start the lost node on the dying machine once more
    assert 1 <= len(reasons) <= 2
    assert all(reason.startswith(f"node {lost} was lost: ") and "\n" not in reason for reason in reasons)


def test_run_on_two_nodes_driver_killed_leaves_no_worker_and_is_resumed(add, tmp_path):
    for _ in range(2):
        add()
    path = tmp_path / "results/mine"
    words = *CARTPOLE, "--frames", "1G", "--name", "mine", "--on", "ray", "--nodes", 2
    with started(tmp_path, *words, cluster__push_every=4, checkpoints__every=1000, **QUICK) as driver:
        assert wait_until(lambda: len(node_workers()) == 2 and steps(path) > 2000, 500)
        workers = node_workers()
        os.kill(driver.pid, signal.SIGKILL)
    assert wait_until(lambda: have_ended(workers), GONE_SECONDS)
    assert wait_until(lambda: not node_workers(), GONE_SECONDS)
    budget = steps(path) + 2000
    run(tmp_path, "resume", "mine", "--on", "ray", "--frames", budget)
    check_counts(path, budget)
    assert read_document(path)["sessions"] == 1


def test_run_on_nodes_server_killed_goes_on_from_its_checkpoint_to_the_budget(add, tmp_path):
    for _ in range(2):
        add()
    path, budget = tmp_path / "results/mine", 30_000
    words = *CARTPOLE, "--frames", budget, "--name", "mine", "--on", "ray", "--nodes", 2
    with started(tmp_path, *words, cluster__push_every=4, checkpoints__every=1000, **QUICK) as driver:
        assert wait_until(lambda: steps(path) > 3000, 500)
        (server,) = children(driver.pid)
        os.kill(server, signal.SIGKILL)
        assert driver.wait(500) == 0
    check_counts(path, budget)
    failures = rows(path, "failures")
    # Ray may start a node of the new server where one of the old server is ending: then it is started again
    assert [row["source"] for row in failures if row["source"] != "node"] == ["server"], failures
    assert not any(row["is_final"] for row in failures)
    assert read_document(path)["sessions"] == 1
