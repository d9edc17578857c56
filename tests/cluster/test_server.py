"""The parameter server: each push counts once, in order, and only if its gradient can be used."""

import pytest
import torch

from asyncrl.cluster.server import Outcome
from asyncrl.events import EpisodeEnd, WorkerState
from tests.cluster.setups import DECAY, LR, P, push, serve, small_parameters

EPISODE = EpisodeEnd(0, 1.0, 5, 5, 1, None)


def joined(**options):
    server = serve(small_parameters(**options))
    server.join(0, 1)
    return server


def test_push_first_applies_the_runs_optimizer_at_the_rate_of_T():
    server = joined()
    answer = server.push(push(events=(EPISODE,)))
    expected = -LR * (1 - DECAY) * torch.ones(P)
    assert torch.equal(torch.from_numpy(answer.theta), expected)
    assert (answer.version, answer.T, answer.seq) == (1, 5, 1)
    server.push(push(2, base_version=1))
    momentum = (1 - DECAY) * (1 + DECAY)
    # the rate is annealed from T = 0 to T = 100
    torch.testing.assert_close(server.parameters.tensors()["theta"], expected - LR * 0.95 * momentum)
    assert server.take_events() == [EPISODE]
    assert server.take_events() == []


def test_push_repeated_changes_nothing_and_is_answered():
    server = joined()
    once = server.push(push(events=(EPISODE,)))
    before = server.parameters.tensors()
    again = server.push(push(events=(EPISODE,)))
    after = server.parameters.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (again.version, again.T, again.seq) == (once.version, once.T, 1)
    assert server.take_events() == [EPISODE]
    assert server.take_counts().outcomes == {Outcome.APPLIED: 1, Outcome.REPEATED: 1}


def test_push_reordered_changes_nothing_until_the_missing_one_came():
    server, straight = joined(), joined()
    pushes = [push(seq, torch.full((P,), float(seq))) for seq in (1, 2, 3)]
    for each in pushes:
        straight.push(each)
    for i in (2, 0, 2, 1, 0, 2, 1):
        server.push(pushes[i])
    for name, expected in straight.parameters.tensors().items():
        assert torch.equal(server.parameters.tensors()[name], expected)
    assert server.take_counts().outcomes == {Outcome.APPLIED: 3, Outcome.AHEAD: 2, Outcome.REPEATED: 2}


def test_push_of_an_old_incarnation_or_a_stranger_changes_nothing():
    server = joined()
    server.push(push())
    server.join(0, 2)
    answers = [server.push(push(2)), server.push(push(1, incarnation=3))]
    assert not any(answer.is_current for answer in answers)
    assert not server.join(0, 1).answer.is_current
    assert server.parameters.T == 5
    assert server.push(push(1, incarnation=2)).is_current
    assert server.take_counts().outcomes == {Outcome.APPLIED: 2, Outcome.NOT_CURRENT: 2}


def test_join_repeated_keeps_the_sequence():
    server = joined()
    server.push(push())
    assert server.join(0, 1).answer.seq == 1
    server.push(push())
    assert server.parameters.updates == 1


@pytest.mark.parametrize(
    ("gradient", "base_version", "outcome"),
    [
        (torch.ones(P), 0, Outcome.STALE),
        (torch.ones(P), 4, Outcome.STALE),
        (torch.tensor([1.0, 1.0, float("nan"), 1.0, 1.0]), 3, Outcome.NOT_FINITE),
        (torch.full((P,), float("inf")), 3, Outcome.NOT_FINITE),
        # its squares are not finite
        (torch.full((P,), 1e25), 3, Outcome.NOT_FINITE),
    ],
)
def test_push_with_a_gradient_of_no_use_counts_its_steps_only(gradient, base_version, outcome):
    server = serve(small_parameters(), max_staleness=2)
    server.join(0, 1)
    for seq in (1, 2, 3):
        server.push(push(seq, base_version=seq - 1))
    before = server.parameters.tensors()
    answer = server.push(push(4, gradient, base_version=base_version))
    after = server.parameters.tensors()
    assert all(torch.equal(before[name], after[name]) for name in ("theta", "optimizer_state"))
    assert (answer.T, answer.version, answer.seq) == (20, 3, 4)
    assert server.take_counts().outcomes == {Outcome.APPLIED: 3, outcome: 1}


def test_take_counts_applied_pushes_have_a_histogram_of_staleness():
    server = joined()
    for seq, base_version in enumerate((0, 1, 1, 0), start=1):
        server.push(push(seq, base_version=base_version))
    # staleness 0, 0, 1 and 3
    assert server.take_counts().staleness == {0: 2, 1: 1, 2: 1}


def test_answer_has_the_target_where_the_node_has_another_one():
    server = joined(target_period=10)
    number = server.join(0, 1).answer.targets
    first = server.push(push(1, targets=number))
    assert first.target is None
    lost = server.push(push(2, targets=number))
    assert torch.equal(torch.from_numpy(lost.target), server.parameters.tensors()["theta"])
    again = server.push(push(2, targets=number))
    assert torch.equal(torch.from_numpy(again.target), torch.from_numpy(lost.target))
    assert server.push(push(3, targets=again.targets)).target is None


def test_nodes_have_the_counters_and_optimizer_states_of_their_first_workers():
    server = serve(small_parameters(workers=4), nodes=2)
    for node in (0, 1):
        server.join(node, 1)
    server.push(push(node=1, steps=(3, 4)))
    assert [server.parameters.steps(worker) for worker in range(4)] == [0, 0, 3, 4]
    state = server.parameters.tensors()["optimizer_state"]
    assert [bool(each.any()) for each in state] == [False, False, True, False]
    with pytest.raises(ValueError, match="no node 2"):
        server.join(2, 1)


def test_join_again_gets_the_states_of_workers_that_have_made_no_step_since():
    server = serve(small_parameters(workers=2))
    server.join(0, 1)
    saved = [WorkerState(i, {"steps": 5}, {}) for i in (0, 1)]
    server.push(push(steps=(5, 5), states=tuple(saved)))
    assert server.join(0, 2).states == tuple(saved)
    server.push(push(1, incarnation=2, steps=(0, 1)))
    again = server.join(0, 3)
    assert (again.states, again.steps) == ((saved[0],), (5, 6))


def test_is_parked_all_nodes_are_in_the_present_pause_or_have_left():
    server = serve(small_parameters(workers=2), nodes=2)
    for node in (0, 1):
        server.join(node, 1)
    server.push(push(parked_in=server.control.pause))
    assert not server.is_parked
    server.leave(1, 1)
    assert server.is_parked
    server.control.release(100)
    assert not server.is_parked
