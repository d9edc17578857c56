"""Shared memory: what one process writes all others read, and T is what everyone's counts add up to."""

import time

import pytest
import torch
from torch import nn

from asyncrl.optim import Adam, Momentum, RMSProp
from asyncrl.runtime.parameters import PARK, PARKED, STOP, Shared, bind, bind_gradients, flatten
from asyncrl.runtime.process import CONTEXT, start
from asyncrl.schedules import crossed

ONE_G, OWN_G = RMSProp(shared=True, alpha=0.5, eps=0.1), RMSProp(shared=False, alpha=0.5, eps=0.1)


def allocate(optimizer=ONE_G, workers=2, has_target=True, size=3):
    return Shared.allocate(torch.arange(float(size)), workers, optimizer, has_target)


@pytest.mark.parametrize(
    ("optimizer", "shape"),
    [(ONE_G, (1, 1, 3)), (OWN_G, (2, 1, 3)), (Momentum(0.9), (2, 1, 3)), (Adam(0.1), (1, 2, 3))],
)
def test_everything_is_allocated_in_shared_memory_before_any_process_starts(optimizer, shape):
    theta = torch.arange(3.0)
    shared = Shared.allocate(theta, 2, optimizer, has_target=True)
    assert all(tensor.is_shared() for tensor in vars(shared).values())
    assert shared.optimizer_state.shape == shape
    assert not shared.optimizer_state.any()
    assert torch.equal(shared.theta, theta)
    assert torch.equal(shared.target, theta)
    theta.fill_(7)
    assert shared.theta.tolist() == shared.target.tolist() == [0, 1, 2]


def test_there_is_no_target_where_none_is_used():
    shared = allocate(has_target=False)
    assert shared.target.shape == (0,)
    shared.sync_target(0, 10, None)


def test_one_state_for_all_or_one_for_each():
    for optimizer, kept in ((ONE_G, [[2.5, 0, 0]]), (OWN_G, [[0.5, 0, 0], [2, 0, 0]])):
        shared = allocate(optimizer)
        for worker in (0, 1):
            shared.apply(worker, optimizer, torch.tensor([1.0 + worker, 0, 0]), lr=0.0)
        g = shared.optimizer_state[:, 0]
        assert g.tolist() == ([[0.5 * 0.5 + 2, 0, 0]] if optimizer.shared else kept)
        assert shared.updates == 2


def test_adam_counts_all_updates_and_momentum_its_own():
    class Told(Momentum):
        def apply(self, theta, grad, state, lr, updates):
            told.append(updates)

    class ToldShared(Told):
        shared = True

    for kind, expected in ((Told, [1, 1, 2]), (ToldShared, [1, 2, 3])):
        told, optimizer = [], kind(0.9)
        shared = allocate(optimizer)
        for worker in (0, 1, 1):
            shared.apply(worker, optimizer, torch.zeros(3), lr=0.0)
        assert told == expected


def test_t_is_the_sum_of_what_each_has_counted():
    shared = allocate(workers=3)
    assert [shared.advance(worker, steps) for worker, steps in ((0, 5), (2, 3), (0, 5))] == [(0, 5), (5, 8), (8, 13)]
    assert shared.T == 13
    assert shared.counters[:, 0].tolist() == [10, 0, 3]


def test_of_two_that_count_at_once_one_sees_the_multiple_that_they_cross(monkeypatch):
    """From 92, each counts 5 steps after both have read 92: neither alone is at 100, both together are."""
    shared = allocate()
    shared.advance(0, 92)
    T, reads, intervals = Shared.T.fget, [], []

    def read_while_the_other_counts(self):
        value = T(self)
        reads.append(value)
        if len(reads) == 1:
            intervals.append(shared.advance(1, 5))
        return value

    monkeypatch.setattr(Shared, "T", property(read_while_the_other_counts))
    intervals.append(shared.advance(0, 5))
    assert reads[:2] == [92, 92]
    assert any(crossed(before, after, 100) for before, after in intervals)


def test_the_target_is_copied_wherever_t_jumps_over_a_multiple():
    shared = allocate()
    for before, after, copied in ((0, 9, False), (9, 10, True), (10, 19, False), (19, 21, True), (25, 61, True)):
        shared.theta.add_(1)
        old = shared.target.clone()
        shared.sync_target(before, after, 10)
        assert torch.equal(shared.target, shared.theta if copied else old)


def test_update_average_early_weights_all_alike():
    """Until ``horizon`` updates were applied it is the plain mean of θ at every tenth update, without the first θ."""
    shared = Shared.allocate(torch.full((2,), 1e6), 1, ONE_G, has_target=False, has_average=True)
    for k in range(1, 31):
        shared.apply(0, ONE_G, torch.zeros(2), lr=0.0)
        shared.theta.fill_(float(k))
        shared.update_average(0, horizon=1_000)
    assert shared.average.tolist() == pytest.approx([20.0, 20.0])  # of 10, 20, 30


def test_update_average_later_forgets_over_the_horizon():
    shared = Shared.allocate(torch.zeros(1), 2, ONE_G, has_target=False, has_average=True)
    for k in range(40):  # two workers in turn: each averages at its own tenth update
        shared.apply(k % 2, ONE_G, torch.zeros(1), lr=0.0)
        shared.theta.fill_(1.0 if k >= 20 else 0.0)
        shared.update_average(k % 2, horizon=20)
    assert shared.average.item() == pytest.approx(0.75)  # two steps of 10/20 towards 1
    assert shared.evaluated is shared.average


def test_evaluated_without_an_average_is_theta():
    shared = allocate()
    assert shared.evaluated is shared.theta
    assert "average" not in shared.tensors()


def test_a_network_bound_to_a_vector_changes_with_it():
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = flatten(net)
    assert vector.shape == (11,)
    bind(net, vector)
    vector.copy_(torch.arange(11.0))
    assert net[0].weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert net[1].bias.tolist() == [10]
    assert torch.equal(flatten(net), vector)
    with pytest.raises(ValueError, match="the network has 11 parameters, the vector 12"):
        bind(net, torch.zeros(12))


@pytest.mark.parametrize("scales", [(2.0, 2.0, 2.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_four_backward_passes_leave_their_own_four_gradients(scales):
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    grad = bind_gradients(net)
    for scale in scales:
        grad.zero_()
        (scale * sum(p.sum() for p in net.parameters())).backward()
        assert grad.tolist() == [scale] * 11
        assert all(p.grad.untyped_storage().data_ptr() == grad.untyped_storage().data_ptr() for p in net.parameters())


def test_a_checkpoint_holds_all_there_is_and_workers_do_not_start_parked():
    shared = allocate(OWN_G)
    shared.advance(1, 7)
    shared.apply(1, OWN_G, torch.ones(3), lr=0.1)
    shared.set_parked(1, True)
    saved = {name: tensor.clone() for name, tensor in shared.tensors().items()}
    other = allocate(OWN_G)
    other.restore(saved)
    assert (other.T, other.updates) == (7, 1)
    assert not other.counters[:, PARKED].any()
    for name in ("theta", "target", "optimizer_state"):
        assert torch.equal(other.tensors()[name], saved[name])


def test_orders_are_given_and_taken_back():
    shared = allocate()
    shared.order(PARK, True)
    assert (shared.is_ordered(PARK), shared.is_ordered(STOP)) == (True, False)
    shared.order(PARK, False)
    assert not shared.is_ordered(PARK)


def _meet(worker, shared, pipe):
    """Apply an update on top of the other's, and tell what is seen in the end."""
    if worker == 1:
        _wait(lambda: bool(shared.optimizer_state.all()))
    shared.advance(worker, 5 + worker)
    shared.apply(worker, ONE_G, torch.full((3,), 1.0 + worker), lr=0.0)
    shared.theta[worker] = 100.0 + worker
    _wait(lambda: shared.is_ordered(STOP))
    pipe.send((shared.theta.tolist(), shared.optimizer_state.tolist(), shared.T, shared.updates))


def _wait(holds):
    deadline = time.monotonic() + 40
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_two_processes_and_their_parent_see_one_theta_one_g_and_one_t():
    shared = allocate()
    pipes, processes = zip(*[_start(worker, shared) for worker in (0, 1)], strict=True)
    shared.theta[2] = 102.0
    _wait(lambda: shared.theta.tolist() == [100, 101, 102])
    shared.order(STOP, True)
    seen = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    assert seen[0] == seen[1] == ([100, 101, 102], [[[2.25] * 3]], 11, 2)
    assert shared.optimizer_state.tolist() == [[[2.25] * 3]]


def _start(worker, shared):
    ours, theirs = CONTEXT.Pipe(duplex=False)
    return ours, start(_meet, (worker, shared, theirs), f"meet-{worker}", 1)
