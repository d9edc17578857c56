"""Workers are killed, frozen and made to raise, while the others go on."""

import os
import random
import signal
import time

import pytest

from asyncrl.events import Incident
from tests.runtime.setups import make_pool, prepare, steps_of

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(1_800),
    pytest.mark.usefixtures("nothing_left", "slow_start"),
]

ENDLESS = 10**9  # steps
PATIENT = {"restarts": 10_000, "hang_seconds": 60.0}
OUTAGE = 30.0  # seconds that a replacement may take here, beside whatever else the machine does


class Watch:
    """A pool, struck again and again: who is at work, and how long each was missing."""

    def __init__(self, pool, shared):
        self.pool, self.shared = pool, shared
        self.failures, self.outages = [], []
        self.down = {}  # worker: when it was struck, its steps then
        self.healthy = set()

    def look(self):
        """Hear the pool once."""
        assert self.pool.is_running
        self.failures += [event for event in self.pool.events() if isinstance(event, Incident)]
        steps, now = steps_of(self.shared).tolist(), time.monotonic()
        for worker, (since, before) in list(self.down.items()):
            if self.pool.slots[worker].reader is not None and steps[worker] > before:
                self.outages.append(now - since)
                del self.down[worker]
            assert now - since < OUTAGE, f"worker {worker} is not back"
        self.healthy = {i for i, count in enumerate(steps) if count and i not in self.down}

    def strike(self, worker, number):
        """Send a worker a signal."""
        slot = self.pool.slots[worker]
        os.kill(slot.process.pid, number)
        slot.failures.clear()  # long ago
        self.down[worker] = (time.monotonic(), self.shared.steps(worker) + 1_000_000)

    def settle(self, deadline=120):
        """Wait until all are back."""
        end = time.monotonic() + deadline
        while self.down:
            self.look()
            assert time.monotonic() < end


@pytest.mark.parametrize(
    ("number", "hang_seconds", "few", "full"), [(signal.SIGKILL, 60.0, 20, 200), (signal.SIGSTOP, 4.0, 2, 10)]
)
def test_workers_that_are_killed_or_frozen_at_random_instants_are_replaced_while_the_others_go_on(
    faults, number, hang_seconds, few, full
):
    fault = f"{number.name} to a random worker, at random instants"
    job, shared = prepare(threads=4, frames=ENDLESS, workers=PATIENT | {"hang_seconds": hang_seconds})
    chance, times = random.Random(1), faults.times(few, full)
    with make_pool(job, shared) as pool:
        watch = Watch(pool, shared)
        while len(watch.healthy) < 4:
            watch.look()
        for _ in range(times):
            while len(watch.healthy) < 3:
                watch.look()
            end = time.monotonic() + chance.random() / 2
            while time.monotonic() < end:
                watch.look()
            processes = [slot.process_count for slot in pool.slots]
            before = {i: shared.steps(i) for i in watch.healthy}
            victim = chance.choice(sorted(watch.healthy))
            faults.inject(fault)
            watch.strike(victim, number)
            struck, others = len(watch.failures), set(before) - {victim}
            while len(watch.failures) == struck or all(shared.steps(i) == before[i] for i in others):
                watch.look()
                assert pool.slots[victim].process_count == processes[victim], "the others stood still"
            watch.down[victim] = (time.monotonic(), shared.steps(victim))
            faults.survive(fault)
        watch.settle()
        pool.stop()
        while pool.is_running:
            watch.look()
    assert len(watch.failures) == times
    assert all(failure.is_replaced for failure in watch.failures)
    assert shared.T == int(steps_of(shared).sum())
    print(f"{fault}: back after {max(watch.outages):.1f} s at most")


def test_environments_that_raise_in_a_step_are_replaced_with_their_traceback(faults):
    fault, times = "the environment raises in a step", faults.times(5, 20)
    job, shared = prepare(env="tests.runtime.toys:Fragile", threads=3, frames=ENDLESS, workers=PATIENT)
    with make_pool(job, shared) as pool:
        watch = Watch(pool, shared)
        while len(watch.failures) < times:
            watch.look()
        pool.stop()
        while pool.is_running:
            watch.look()
    for failure in watch.failures[:times]:
        faults.inject(fault)
        assert "in act" in failure.traceback
        assert failure.seeds
        assert not failure.is_fatal
        faults.survive(fault)
