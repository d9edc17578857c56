"""Shared memory: what one process writes all others read, and T is what everyone's counts add up to."""

import time

import pytest
import torch
from torch import nn

from asyncrl.networks.flat import bind, bind_gradients, flatten
from asyncrl.optim import Adam, LearningRate, Momentum, RMSProp
from asyncrl.runtime.control import Control
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.spawn import CONTEXT, start
from asyncrl.schedules import crossed

ONE_G, OWN_G = RMSProp(shared=True, alpha=0.5, eps=0.1), RMSProp(shared=False, alpha=0.5, eps=0.1)


FIXED = LearningRate(0.0)


def allocate(optimizer=ONE_G, workers=2, target_period=10, size=3, averaging=0):
    return SharedParameters.allocate(torch.arange(float(size)), workers, optimizer, FIXED, target_period, averaging)


def write(parameters, **vectors):
    """Write vectors as another worker would."""
    parameters.restore_vectors(parameters.tensors() | vectors)


@pytest.mark.parametrize(
    ("optimizer", "shape"),
    [(ONE_G, (1, 1, 3)), (OWN_G, (2, 1, 3)), (Momentum(0.9), (2, 1, 3)), (Adam(0.1), (1, 2, 3))],
)
def test_allocate_copies_theta_and_sets_everything_else_to_zero(optimizer, shape):
    theta = torch.arange(3.0)
    parameters = SharedParameters.allocate(theta, 2, optimizer, FIXED, target_period=10)
    tensors = parameters.tensors()
    assert tensors["optimizer_state"].shape == shape
    assert not tensors["optimizer_state"].any()
    assert torch.equal(tensors["theta"], theta)
    assert torch.equal(tensors["target"], theta)
    theta.fill_(7)
    assert parameters.theta.tolist() == parameters.vectors["target"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["theta", "target", "optimizer_state", "average"])
def test_vectors_are_read_only(name):
    vector = allocate(averaging=10).vectors[name]
    with pytest.raises(ValueError, match="read-only"):
        vector[...] = 1.0


def test_there_is_no_target_where_none_is_used():
    parameters = allocate(target_period=None)
    assert parameters.vectors["target"].shape == (0,)
    parameters.sync_target(0, 10)


def test_one_state_for_all_or_one_for_each():
    for optimizer, kept in ((ONE_G, [[2.5, 0, 0]]), (OWN_G, [[0.5, 0, 0], [2, 0, 0]])):
        shared = allocate(optimizer)
        for worker in (0, 1):
            shared.apply(worker, torch.tensor([1.0 + worker, 0, 0]), 0)
        g = shared.vectors["optimizer_state"][:, 0]
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
            shared.apply(worker, torch.zeros(3), 0)
        assert told == expected


def test_t_is_the_sum_of_what_each_has_counted():
    shared = allocate(workers=3)
    assert [shared.advance(worker, steps) for worker, steps in ((0, 5), (2, 3), (0, 5))] == [(0, 5), (5, 8), (8, 13)]
    assert shared.T == 13
    assert [shared.steps(worker) for worker in range(3)] == [10, 0, 3]


def test_of_two_that_count_at_once_one_sees_the_multiple_that_they_cross(monkeypatch):
    """From 92, each counts 5 steps after both have read 92: neither alone is at 100, both together are."""
    shared = allocate()
    shared.advance(0, 92)
    T, reads, intervals = SharedParameters.T.fget, [], []

    def read_while_the_other_counts(self):
        value = T(self)
        reads.append(value)
        if len(reads) == 1:
            intervals.append(shared.advance(1, 5))
        return value

    monkeypatch.setattr(SharedParameters, "T", property(read_while_the_other_counts))
    intervals.append(shared.advance(0, 5))
    assert reads[:2] == [92, 92]
    assert any(crossed(before, after, 100) for before, after in intervals)


def test_the_target_is_copied_wherever_t_jumps_over_a_multiple():
    shared = allocate()
    for before, after, copied in ((0, 9, False), (9, 10, True), (10, 19, False), (19, 21, True), (25, 61, True)):
        write(shared, theta=shared.tensors()["theta"] + 1)
        old = shared.tensors()
        shared.sync_target(before, after)
        assert torch.equal(shared.tensors()["target"], old["theta" if copied else "target"])


def apply_and_write(parameters, worker, value):
    """Apply an update of nothing, before which other workers' updates moved θ to a value."""
    write(parameters, theta=torch.full((3,), value))
    parameters.apply(worker, torch.zeros(3), 0)


def test_average_early_weights_all_alike():
    """Until ``averaging`` updates were applied it is the mean of θ at every tenth update, without the first θ."""
    parameters = allocate(workers=1, averaging=1_000)
    for k in range(1, 31):
        apply_and_write(parameters, 0, float(k))
    assert parameters.evaluation_weights.tolist() == pytest.approx([20.0] * 3)  # of 10, 20, 30


def test_average_later_forgets_over_its_horizon():
    parameters = allocate(averaging=20)
    for k in range(40):  # two workers in turn: each averages at its own tenth update
        apply_and_write(parameters, k % 2, 1.0 if k >= 20 else 0.0)
    assert parameters.evaluation_weights.tolist() == pytest.approx([0.75] * 3)  # two steps of 10/20 towards 1


def test_evaluated_without_an_average_is_theta():
    parameters = allocate()
    assert parameters.evaluation_weights.tolist() == parameters.theta.tolist()
    assert "average" not in parameters.tensors()


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


def test_restore_takes_over_vectors_and_counts():
    shared = allocate(OWN_G, averaging=10)
    shared.advance(1, 7)
    shared.apply(1, torch.ones(3), 0)
    saved = shared.tensors()
    other = allocate(OWN_G, averaging=10)
    other.restore(saved)
    assert (other.T, other.updates) == (7, 1)
    assert all(torch.equal(other.tensors()[name], tensor) for name, tensor in saved.items())


def test_restore_ignores_flags_of_the_first_release():
    """Its counters had the flags of parked workers in the same rows."""
    saved = allocate().tensors()
    saved["counters"][:, 2:] = 1
    other = allocate()
    other.restore(saved)
    assert not other.tensors()["counters"].any()


def _meet(worker, shared, control, pipe):
    """Apply an update on top of the other's, and send what is seen in the end."""
    if worker == 1:
        _wait(lambda: bool(shared.vectors["optimizer_state"].all()))
    shared.advance(worker, 5 + worker)
    shared.apply(worker, torch.full((3,), 1.0 + worker), 0)
    _wait(lambda: control.is_stopping)
    pipe.send((shared.vectors["optimizer_state"].tolist(), shared.T, shared.updates, shared.theta.tolist()))


def _wait(holds):
    deadline = time.monotonic() + 100
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_two_processes_and_their_parent_share_theta_g_and_t():
    shared, control = SharedParameters.allocate(torch.zeros(3), 2, ONE_G, LearningRate(1.0)), Control.allocate(2)
    pipes, processes = zip(*[_start(worker, shared, control) for worker in (0, 1)], strict=True)
    _wait(lambda: shared.updates == 2)
    control.stop()
    seen = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    assert seen[0] == seen[1] == ([[[2.25] * 3]], 11, 2, shared.theta.tolist())
    assert shared.theta.tolist() == pytest.approx([-1 / 0.6**0.5 - 2 / 2.35**0.5] * 3)


def _start(worker, shared, control):
    ours, theirs = CONTEXT.Pipe(duplex=False)
    return ours, start(_meet, (worker, shared, control, theirs), f"meet-{worker}", 1)
