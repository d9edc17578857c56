"""More workers than cores take turns: who may begin, who is overlooked, and who does without."""

import os
import threading
import time

import pytest

from asyncrl.runtime import core_scheduler
from asyncrl.runtime.control import Control
from asyncrl.runtime.core_scheduler import (
    IDLE_TURNS,
    LONGEST_SLEEP,
    NO_TURN_SECONDS,
    OVERDUE_SECONDS,
    SHORTEST_SLEEP,
    TURN_ROLLOUTS,
    TURN_SECONDS,
    CoreScheduler,
)
from tests.clock import Time


class Busy(Time):
    """A clock on which whoever works computes for a share of the time; ``on_nap`` is called for each look.

    Of the system's cores, two with even numbers may be used.
    """

    def __init__(self):
        self.numbers = [0, 2]
        self.computed, self.share, self.naps, self.bound = 0.0, 1.0, [], []
        self.on_nap = lambda: None

    def pass_(self, seconds):
        self.now += seconds
        self.computed += self.share * seconds

    def sleep(self, seconds):
        self.naps.append(seconds)
        assert len(self.naps) < 10_000, "waits for ever"
        self.now += seconds
        self.on_nap()


@pytest.fixture
def clock(monkeypatch):
    clock = Busy()
    monkeypatch.setattr(core_scheduler, "time", clock)
    monkeypatch.setattr(core_scheduler, "runnable_seconds", lambda: clock.computed)
    monkeypatch.setattr(core_scheduler, "core_numbers", lambda: clock.numbers)
    monkeypatch.setattr(core_scheduler, "bind_threads", lambda cores: clock.bound.append([*cores]))
    return clock


def share(workers):
    return Control.allocate(workers)


def test_as_many_workers_as_cores_never_wait_nor_write(clock):
    control = share(2)
    for i in range(2):
        CoreScheduler(control, i, 2).wait_for_turn()
        CoreScheduler(control, i, None).wait_for_turn()
    assert not clock.naps
    assert not clock.bound
    assert not control.turns.any()


def test_a_third_worker_waits_until_one_of_two_gives_way(clock):
    control = share(3)
    workers = [CoreScheduler(control, i, 2) for i in range(3)]
    workers[0].wait_for_turn()
    workers[1].wait_for_turn()
    assert not clock.naps
    clock.on_nap = lambda: workers[1].leave() if clock.now > 1_000.2 else None
    workers[2].wait_for_turn()
    assert 0.2 <= clock.now - 1_000.0 < 0.21
    assert control.turns[2] > 0


def test_a_turn_lasts_its_time_and_then_waits_behind_those_who_have_waited(clock):
    control = share(2)
    first, second = CoreScheduler(control, 0, 1), CoreScheduler(control, 1, 1)
    first.wait_for_turn()
    control.set_turn(1, -int(clock.now * 1e9))  # the second waits, from now on
    clock.pass_(0.9 * TURN_SECONDS)
    first.wait_for_turn()
    assert not clock.naps
    clock.pass_(0.2 * TURN_SECONDS)
    began = []

    def second_begins():
        if not began:
            began.append(int(control.turns[0]) < 0)  # the first has given way
            control.set_turn(1, 0)
            second.wait_for_turn()
        elif clock.now > 1_000.5:
            second.leave()

    clock.on_nap = second_begins
    first.wait_for_turn()
    assert began == [True]
    assert clock.now > 1_000.5


def test_a_turn_of_quick_rollouts_has_so_many_and_tells_when_it_is_due_to_end(clock):
    control = share(2)
    worker = CoreScheduler(control, 0, 1)
    worker.wait_for_turn()
    for rest in range(TURN_ROLLOUTS - 1, 0, -1):
        clock.pass_(0.001)
        worker.wait_for_turn()
        assert control.turns[0] / 1e9 == pytest.approx(clock.now + 0.001 * rest, abs=1e-6)
    control.set_turn(1, -int(clock.now * 1e9))  # the second waits
    clock.on_nap = lambda: control.set_turn(1, 0)
    clock.pass_(0.001)
    worker.wait_for_turn()
    assert clock.naps


def test_a_turn_of_slow_rollouts_tells_when_its_time_is_over(clock):
    control = share(2)
    worker = CoreScheduler(control, 0, 1)
    worker.wait_for_turn()
    clock.pass_(0.1 * TURN_SECONDS)
    worker.wait_for_turn()
    assert control.turns[0] / 1e9 == pytest.approx(clock.now + 0.9 * TURN_SECONDS)


@pytest.mark.parametrize(
    ("cores", "line", "due"),
    [(1, [], 0.06), (1, [0.001], 0.16), (1, [0.001, 0.002], 0.26), (2, [0.001], 0.06), (2, [0.001, 0.002], 0.1)],
)
def test_who_waits_sleeps_for_half_the_time_until_a_core_is_due(clock, cores, line, due):
    """One is at work, for 60 ms more, and of two cores one is free for the first in line; a turn takes 100 ms."""
    control = share(4)
    last = CoreScheduler(control, 3, cores)
    last.wait_for_turn()
    clock.pass_(0.1)
    last.wait_for_turn()
    last.leave()
    control.set_turn(0, int((clock.now + 0.06) * 1e9))
    for i, ago in enumerate(line):
        control.set_turn(i + 1, -int((clock.now - ago) * 1e9))
    clock.on_nap = lambda: [control.set_turn(i, 0) for i in range(3)]
    last.wait_for_turn()
    assert clock.naps == [pytest.approx(min(due / 2, LONGEST_SLEEP))]


def test_whose_turn_is_late_is_looked_for_often(clock):
    control = share(2)
    control.set_turn(1, int((clock.now - 0.1) * 1e9))
    clock.on_nap = lambda: control.set_turn(1, 0)
    CoreScheduler(control, 0, 1).wait_for_turn()
    assert clock.naps == [SHORTEST_SLEEP]


def test_each_at_work_has_a_core_of_its_own_until_it_leaves(clock):
    clock.numbers, control = [0, 2, 4], share(4)
    workers = [CoreScheduler(control, i, 3) for i in range(4)]
    for each in workers[:3]:
        each.wait_for_turn()
    assert clock.bound == [[0], [2], [4]]
    workers[1].leave()
    workers[3].wait_for_turn()
    assert clock.bound[3:] == [[0, 2, 4], [2]]
    assert control.cores.tolist() == [0, 1, 2, 1]


def test_whose_turns_last_so_long_that_others_overlook_them_is_not_bound(clock):
    control = share(3)
    slow = CoreScheduler(control, 0, 2)
    slow.wait_for_turn()
    for _ in range(2):
        clock.pass_(1.01 * OVERDUE_SECONDS)
        slow.wait_for_turn()
    assert clock.bound == [[0], [0, 2]]


def test_nobody_is_bound_where_cores_are_others_than_were_counted(clock):
    clock.numbers = [0, 2, 4]
    CoreScheduler(share(3), 0, 2).wait_for_turn()
    assert not clock.bound


def test_whoever_has_lost_patience_is_not_bound(clock):
    control = share(3)
    for i in (1, 2):
        control.set_turn(i, 2**62)
        control.set_core(i, i - 1)
    worker = CoreScheduler(control, 0, 2)
    worker.wait_for_turn()
    assert not clock.bound
    assert control.turns[0] > 0


def test_two_that_begin_at_once_take_different_cores(clock):
    control = share(3)
    control.set_turn(1, -int((clock.now - 0.1) * 1e9))  # first in line, and about to look
    CoreScheduler(control, 0, 2).wait_for_turn()
    assert clock.bound == [[2]]


@pytest.mark.parametrize(("sign", "seconds"), [(1, OVERDUE_SECONDS), (-1, OVERDUE_SECONDS + 2 * TURN_SECONDS)])
def test_one_that_was_stopped_or_died_is_overlooked(clock, sign, seconds):
    control = share(2)
    control.set_turn(1, sign * int((clock.now - 0.01) * 1e9))
    CoreScheduler(control, 0, 1).wait_for_turn()
    assert 0.9 * seconds < clock.now - 1_000.0 < 1.1 * seconds
    clock.naps.clear()
    CoreScheduler(control, 0, 1).wait_for_turn()
    assert not clock.naps


def test_a_stop_ends_the_wait(clock):
    control = share(2)
    control.set_turn(1, int(clock.now * 1e9))
    clock.on_nap = control.stop
    CoreScheduler(control, 0, 1).wait_for_turn()
    assert len(clock.naps) == 1


def test_whoever_waits_for_something_else_does_without_turns_for_a_while(clock):
    control = share(2)
    slow = CoreScheduler(control, 0, 1)
    clock.share = 0.1
    for _ in range(IDLE_TURNS):
        assert not control.turns[0] < 0
        slow.wait_for_turn()
        clock.pass_(1.01 * TURN_SECONDS)
    slow.wait_for_turn()
    assert control.turns[0] == 0  # in nobody's way
    control.set_turn(1, int(clock.now * 1e9))
    slow.wait_for_turn()
    assert not clock.naps
    clock.now += 1.01 * NO_TURN_SECONDS
    control.set_turn(1, int(clock.now * 1e9))
    slow.wait_for_turn()
    assert clock.naps


def test_one_busy_turn_makes_up_for_idle_ones(clock):
    control = share(2)
    mixed = CoreScheduler(control, 0, 1)
    for i in range(3 * IDLE_TURNS):
        mixed.wait_for_turn()
        clock.share = 1.0 if i % IDLE_TURNS == 5 else 0.1
        clock.pass_(1.01 * TURN_SECONDS)
    assert control.turns[0] > 0


def test_what_could_compute_counts_whether_or_not_it_had_a_core():
    before, began = core_scheduler.runnable_seconds(), time.monotonic()
    while time.monotonic() < began + 0.2:
        pass
    worked = core_scheduler.runnable_seconds()
    time.sleep(0.2)
    assert worked - before > 0.15
    assert core_scheduler.runnable_seconds() - worked < 0.1


def test_all_threads_are_bound_and_set_free_again():
    usable, stop = sorted(os.sched_getaffinity(0)), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        core_scheduler.bind_threads(usable[:1])
        assert os.sched_getaffinity(0) == os.sched_getaffinity(thread.native_id) == {usable[0]}
    finally:
        core_scheduler.bind_threads(usable)
        stop.set()
        thread.join()
    assert os.sched_getaffinity(0) == set(usable)
