"""Control: orders of the parent, and flags that each worker writes for itself."""

import pytest

from asyncrl.runtime.control import Control


def test_orders_are_given_and_taken_back():
    control = Control.allocate(2)
    assert (control.pause, control.is_stopping) == (0, False)
    control.park(3)
    assert (control.pause, control.is_stopping) == (3, False)
    control.release()
    control.stop()
    assert (control.pause, control.is_stopping) == (0, True)


def test_flags_are_a_workers_own_and_clear_forgets_them():
    control = Control.allocate(3)
    control.set_parked(1, True)
    control.set_turn(1, -5)
    control.set_core(1, 2)
    control.beat(1, 9)
    rows = [control.parked, control.turns, control.cores, control.heartbeats]
    assert [row.tolist() for row in rows] == [[0, 1, 0], [0, -5, 0], [0, 2, 0], [0, 9, 0]]
    control.clear(1)
    assert [row.tolist() for row in rows] == [[0, 0, 0], [0, 0, 0], [0, 2, 0], [0, 9, 0]]


@pytest.mark.parametrize("name", ["parked", "turns", "cores", "heartbeats"])
def test_views_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(Control.allocate(2), name)[0] = 1
