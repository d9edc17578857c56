"""θ over several servers: the weights of one server, bit for bit where one node pushes; a lost shard goes on."""

import numpy as np
import pytest
import torch

from asyncrl import experiment
from asyncrl.cluster.server import Outcome
from asyncrl.cluster.shards import Part, Shard, cuts
from asyncrl.store import checkpoint
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.training import job_builder
from tests.cluster.local_shards import gradient_of, pushed, sharded, vectors
from tests.cluster.setups import TABLE, job_of, parameters_of, train_in_thread, train_in_turn
from tests.cluster.thread_nodes import Pools
from tests.runtime.setups import same


@pytest.mark.parametrize(("size", "count"), [(1, 3), (16, 2), (17, 2), (1000, 3), (678_000, 8)])
def test_cuts_cover_all_numbers_evenly_at_multiples_of_a_cache_line(size, count):
    parts = cuts(size, count)
    assert np.array_equal(np.concatenate([np.arange(size)[part] for part in parts]), np.arange(size))
    assert all(part.start % 16 == 0 or part.start == size for part in parts)
    lengths = [part.stop - part.start for part in parts]
    assert len(lengths) == count
    assert lengths[0] > 0
    assert max(lengths) - min(lengths) <= 32


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("algo", "optimizer"),
    [("a3c", "shared-rmsprop"), ("a3c", "adam"), ("one-step-q", "rmsprop"), ("n-step-q", "momentum")],
)
def test_shards_one_node_one_worker_end_with_the_weights_of_the_run_without_nodes(algo, optimizer, count):
    job = job_of(algo=algo, optimizer={"name": optimizer}, averaging=20)
    local = train_in_turn(job, parameters_of(job))
    server = sharded(job, count)
    train_in_thread(job, server)
    server.whole.read()
    assert same(local, server.all)
    assert server.first.take_counts().outcomes[Outcome.APPLIED] == local.updates > 30


def test_push_to_shards_that_is_repeated_or_refused_changes_no_part():
    job = job_of(algo="one-step-q")
    server = sharded(job, 3, max_staleness=2)
    server.join(0, 1)
    gradient = gradient_of(server)
    once = pushed(server, 1, gradient)
    before = vectors(server)
    again = pushed(server, 1, gradient)
    assert np.array_equal(once.theta, again.theta)
    assert np.array_equal(once.theta, before["theta"].numpy())
    not_finite = gradient.copy()
    not_finite[-1] = np.nan  # in the last part only
    huge = np.full_like(gradient, 1e25)
    for seq, bad in ((2, not_finite), (3, huge), (4, None)):
        pushed(server, seq, bad, base_version=1)
    for seq in (5, 6, 7):
        pushed(server, seq, gradient, base_version=seq - 4)
    middle = vectors(server)
    pushed(server, 8, gradient, base_version=0)  # stale
    after = vectors(server)
    assert all(torch.equal(middle[name], after[name]) for name in ("theta", "optimizer_state"))
    counts = server.first.take_counts().outcomes
    assert counts == {
        Outcome.APPLIED: 4,
        Outcome.REPEATED: 1,
        Outcome.NOT_FINITE: 2,
        Outcome.EMPTY: 1,
        Outcome.STALE: 1,
    }
    server.first.join(0, 2)
    assert not pushed(server, 9, gradient).is_current
    assert torch.equal(vectors(server)["theta"], after["theta"])


def test_shard_part_of_an_old_incarnation_changes_nothing():
    server = sharded(job_of(), 2)
    shard = Shard(server.shards.spec)
    shard.write(server.shards.shards[0].read())
    size = len(shard.join(0).theta)
    gradient = np.ones(size, np.float32)

    def theta(incarnation, seq):
        return shard.push(Part(0, incarnation, seq, gradient, 0, 0, 5, False)).theta

    first = theta(1, 7)
    second = theta(2, 1)
    assert not np.array_equal(first, second)
    for late in ((1, 8), (2, 1), (1, 7)):
        assert np.array_equal(theta(*late), second)
    assert not np.array_equal(theta(2, 2), second)


def test_lost_shard_goes_on_from_the_last_pause_and_the_push_is_taken_once(monkeypatch):
    monkeypatch.setattr("asyncrl.cluster.repeating.FIRST_DELAY", 0.0)
    job = job_of()
    server = sharded(job, 3)
    server.join(0, 1)
    gradient = gradient_of(server)
    pushed(server, 1, gradient)
    paused = vectors(server)["theta"].clone()
    pushed(server, 2, gradient)
    server.shards.lose(1)
    with pytest.raises(ConnectionError):
        pushed(server, 3, gradient)
    assert server.whole.mend() == [1]
    assert server.whole.mend() == []
    answer = pushed(server, 3, gradient)
    first, second, third = cuts(len(paused), 3)
    straight = sharded(job, 3)
    straight.join(0, 1)
    for seq in (1, 2, 3):
        expected = pushed(straight, seq, gradient)
    for part in (first, second):
        assert np.array_equal(answer.theta[part], expected.theta[part])
    # the third part lacks the second push
    two = sharded(job, 3)
    two.join(0, 1)
    for seq, each in ((1, gradient), (2, None), (3, gradient)):
        lacking = pushed(two, seq, each, base_version=0)
    assert np.array_equal(answer.theta[third], lacking.theta[third])
    assert not np.array_equal(answer.theta[third], expected.theta[third])
    assert server.first.take_counts().outcomes == {Outcome.APPLIED: 3, Outcome.REPEATED: 1}


@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_run_with_shards_leaves_the_checkpoints_of_a_run_without_nodes(tmp_path):
    local = experiment.train(job_builder.resolve(TABLE)[0], tmp_path, "local")
    config = job_builder.resolve(TABLE | {"cluster": {"push_every": 1, "shards": 3}})[0]
    run = experiment.train(config, tmp_path, "node", make_pool=Pools())
    first, second = (checkpoint.load(path).tensors for path in (local, run))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    one, other = ([row["scores"] for row in read_rows(path, "evaluations")] for path in (local, run))
    assert one == other


@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_run_with_shards_one_lost_meets_the_budget(tmp_path, faults):
    pools, lost = Pools(), []

    def show(progress):
        """Lose a shard once, in the middle."""
        if progress.frames > 10_000 and not lost:
            lost.append(progress.frames)
            faults.inject("a shard of the parameters lost")
            pools.shards.lose(1)

    table = {"frames": 20_000, "evaluation": {"episodes": 0}, "cluster": {"nodes": 2, "push_every": 4, "shards": 3}}
    table |= {"checkpoints": {"every": "1G"}}  # no pause, in which a lost shard would get its part back at once
    run = experiment.train(job_builder.resolve(TABLE | table)[0], tmp_path, "two", show=show, make_pool=pools)
    assert read_document(run)["status"] == "finished"
    assert read_document(run)["steps"] >= 20_000
    (reason,) = [row["reason"] for row in read_rows(run, "failures")]
    assert reason == "shard 2 was lost; its weights are those of the last pause"
    faults.survive("a shard of the parameters lost")
