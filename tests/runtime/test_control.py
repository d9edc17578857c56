"""Control: orders of the parent, and flags that each worker writes for itself."""

import pytest

from asyncrl.runtime.control import NEVER, Control


def test_orders_are_given_and_taken_back():
    control = Control.allocate(2)
    assert (control.pause, control.pause_at, control.is_stopping) == (1, NEVER, False)
    control.park()
    assert (control.pause, control.pause_at, control.is_stopping) == (1, 0, False)
    control.release(500)
    assert (control.pause, control.pause_at, control.is_stopping) == (2, 500, False)
    control.release(10**30)  # further than a number in shared memory can be
    control.stop()
    assert (control.pause, control.pause_at, control.is_stopping) == (3, NEVER, True)


def test_a_worker_is_parked_in_one_pause_only():
    control = Control.allocate(2)
    control.set_parked(1, control.pause)
    assert [control.is_parked(worker) for worker in (0, 1)] == [False, True]
    control.release(500)
    assert not control.is_parked(1)


def test_flags_are_a_workers_own_and_clear_forgets_them():
    control = Control.allocate(3)
    control.set_parked(1, control.pause)
    control.set_turn(1, -5)
    control.set_core(1, 2)
    control.beat(1, 9)
    rows = [control.turns, control.cores, control.heartbeats]
    assert [row.tolist() for row in rows] == [[0, -5, 0], [0, 2, 0], [0, 9, 0]]
    assert control.is_parked(1)
    control.clear(1)
    assert [row.tolist() for row in rows] == [[0, 0, 0], [0, 2, 0], [0, 9, 0]]
    assert not control.is_parked(1)


@pytest.mark.parametrize("name", ["turns", "cores", "heartbeats"])
def test_views_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(Control.allocate(2), name)[0] = 1
