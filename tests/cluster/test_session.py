"""Whole runs on nodes: files, pauses, lost nodes, resume."""

import pytest

from asyncrl import experiment
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.training import job_builder
from tests.cluster.commands import same
from tests.cluster.setups import TABLE
from tests.cluster.thread_nodes import Pools

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("nothing_left")]


def resolve(**table):
    return job_builder.resolve(TABLE | table)[0]


def test_run_on_one_node_with_one_worker_leaves_the_checkpoints_and_scores_of_a_run_without(tmp_path):
    local = experiment.train(resolve(), tmp_path, "local")
    config = resolve(cluster={"push_every": 1})
    run = experiment.train(config, tmp_path, "node", make_pool=Pools())
    assert same(local, run)
    for name, columns in (("evaluations", ("steps", "scores")), ("episodes", ("score", "length", "T"))):
        one, other = (
            [tuple(row.get(column) for column in columns) for row in read_rows(path, name)] for path in (local, run)
        )
        assert one == other
    assert read_document(run)["status"] == "finished"


def test_run_on_two_nodes_one_lost_goes_on_and_is_resumed_with_another_budget(tmp_path, faults):
    pools = Pools()
    lost = []

    def show(progress):
        """Lose node 1 once, in the middle."""
        if progress.frames > 3000 and not lost:
            lost.append(progress.frames)
            faults.inject("a node of a run lost")
            pools.launcher.lost.add(1)

    config = resolve(frames=40_000, threads=1, cluster={"nodes": 2, "push_every": 4})
    run = experiment.train(config, tmp_path, "two", show=show, make_pool=pools)
    document = read_document(run)
    assert document["status"] == "finished"
    assert lost
    failures = [row for row in read_rows(run, "failures") if row["source"] == "node"]
    assert [row["reason"] for row in failures] == ["node 1 was lost: it was unplugged"]
    assert {row["worker"] for row in read_rows(run, "episodes")} == {0, 1}
    faults.survive("a node of a run lost")
    again = experiment.resume(run, frames=44_000, make_pool=Pools())
    assert again == run
    assert read_document(run)["frames"] >= 44_000
    steps = [row["steps"] for row in read_rows(run, "metrics")]
    assert steps == sorted(steps)
