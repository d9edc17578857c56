"""A node that cannot reach the server for a while: it returns, nothing is applied twice, and the budget is met."""

import threading

import pytest

from asyncrl import experiment
from asyncrl.cluster.agent import NodeAgent
from asyncrl.cluster.server import Outcome
from asyncrl.store import checkpoint
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.training import job_builder
from tests.cluster.setups import job_of, parameters_of, serve, train_in_thread, train_in_turn
from tests.cluster.thread_nodes import Pools
from tests.runtime.setups import actor, same, wait_until


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let calls be repeated soon."""
    monkeypatch.setattr("asyncrl.cluster.repeating.FIRST_DELAY", 0.001)
    monkeypatch.setattr("asyncrl.cluster.repeating.LONGEST_DELAY", 0.02)


class Link:
    """The way of one node to a server; while it is cut, nothing arrives, or no answer comes back."""

    def __init__(self, server, loses="request"):
        self._server, self._loses = server, loses
        self.join, self.leave = server.join, server.leave
        self.is_cut = threading.Event()
        self.failures, self.late = 0, []  # late: pushes that are still under way

    def push(self, push):
        if not self.is_cut.is_set():
            return self._server.push(push)
        if self._loses == "answer" and not self.failures:
            self._server.push(push)
        self.late.append(push)
        self.failures += 1
        raise ConnectionError("the server cannot be reached")


@pytest.mark.parametrize("loses", ["request", "answer"])
def test_partition_of_the_only_node_ends_with_the_weights_of_the_run_without_nodes(loses):
    job = job_of(algo="one-step-q")
    local = train_in_turn(job, parameters_of(job))
    server = serve(parameters_of(job))
    link = Link(server, loses)

    def push(push, forward=link.push):
        """Cut the link before the tenth push, for twenty calls."""
        if push.seq == 10 and not link.failures:
            link.is_cut.set()
        if link.failures == 20:
            link.is_cut.clear()
        return forward(push)

    link.push = push
    train_in_thread(job, link)
    assert link.failures == 20
    assert same(local, server.parameters)
    assert server.take_counts().outcomes.get(Outcome.REPEATED, 0) == (loses == "answer")


@pytest.mark.parametrize(("loses", "applied"), [("request", 10), ("answer", 11)])
def test_partition_of_one_of_two_nodes_drops_what_became_stale_and_goes_on(loses, applied):
    job = job_of(threads=1, cluster={"nodes": 2}, frames=6000)
    server = serve(parameters_of(job), nodes=2, max_staleness=5)
    link = Link(server, loses)
    here, away = (NodeAgent(job, i, 2, 1, way, push_every=2) for i, way in enumerate((server, link)))
    near, far = actor(job, here.parameters, 0), actor(job, away.parameters, 1)
    link.is_cut.set()
    for _ in range(2):
        far.update()
    pushing = threading.Thread(target=away.poll, daemon=True)
    pushing.start()
    assert wait_until(lambda: link.failures > 1)
    # both nodes go on
    for _ in range(10):
        near.update(), near.update()
        assert here.poll()
    for _ in range(2):
        far.update()
    link.is_cut.clear()
    pushing.join(30)
    away.poll()
    counts = server.take_counts().outcomes
    expected = {Outcome.APPLIED: applied, Outcome.STALE: 12 - applied}
    assert counts == expected | ({Outcome.REPEATED: 1} if loses == "answer" else {})
    assert server.parameters.updates == applied
    # each step counts once, whatever became of its gradient
    assert server.parameters.steps(1) == away.parameters.steps(1) > 0
    for _ in range(2):
        far.update()
    away.poll()
    assert server.take_counts().outcomes == {Outcome.APPLIED: 1}
    for worker in (near, far):
        worker.environments.close()


def test_partition_longer_than_the_patience_ends_the_node_and_what_arrives_late_changes_nothing():
    job = job_of(threads=1)
    server = serve(parameters_of(job))
    link = Link(server)
    lost = NodeAgent(job, 0, 1, 1, link, push_every=1, patience=0.1)
    lost.parameters.advance(0, 5)
    link.is_cut.set()
    with pytest.raises(ConnectionError):
        lost.run()
    again = NodeAgent(job, 0, 1, 2, server, push_every=2)
    worker = actor(job, again.parameters)
    while server.parameters.T < job.budget:
        worker.update(), worker.update()
        again.poll()
        before = server.parameters.tensors()
        assert not server.push(link.late[-1]).is_current
        after = server.parameters.tensors()
        assert all((before[name] == after[name]).all() for name in before)
    counts = server.take_counts().outcomes
    assert counts[Outcome.NOT_CURRENT] == counts[Outcome.APPLIED] == server.parameters.updates
    worker.environments.close()


TABLE = {"env": "CartPole-v1", "algo": "a3c", "threads": 1, "frames": 20_000, "evaluation": {"episodes": 0}}


@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_run_on_two_nodes_one_cut_off_twice_meets_the_budget(tmp_path, faults):
    pools, cuts = Pools(), []

    def show(progress):
        """Cut node 1 off, twice: also where a pause is due meanwhile, which waits for it."""
        if progress.frames > 4000 * (len(cuts) + 1) and len(cuts) < 2:
            cuts.append(progress.frames)
            faults.inject("a node cut off from the server")
            pools.launcher.cut[1] = 100

    config = job_builder.resolve(TABLE | {"cluster": {"nodes": 2, "push_every": 4}})[0]
    run = experiment.train(config, tmp_path, "two", show=show, make_pool=pools)
    document = read_document(run)
    assert document["status"] == "finished"
    assert len(cuts) == 2
    assert document["steps"] >= config.frames
    assert sum(row["length"] for row in read_rows(run, "episodes")) <= document["steps"]
    applied = sum(row.get("pushes_applied", 0) for row in read_rows(run, "metrics"))
    updates = checkpoint.load(run).tensors["counters"][:, 1].sum()
    assert updates == document["updates"]
    # the last pushes may have a gradient of steps that were counted before: no row has them
    assert updates - 2 * 2 <= applied <= updates
    assert not read_rows(run, "failures")
    faults.survive("a node cut off from the server", 2)
