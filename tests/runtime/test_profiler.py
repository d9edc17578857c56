"""The stopwatch: all time is charged, and to the right phase."""

import pytest

from asyncrl.runtime import profiler
from asyncrl.runtime.profiler import PHASES, Profiler
from asyncrl.runtime.reporter import Reporter
from tests.clock import Time
from tests.runtime.setups import actor, prepare


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(profiler, "time", time)
    return time


def test_a_lap_charges_what_has_passed_since_the_last(time):
    watch = Profiler(is_on=True)
    for phase, passed in [("act", 1.0), ("learn", 2.0), ("act", 4.0)]:
        time.now += passed
        watch.end(phase)
    time.now += 8  # belongs to the next lap
    assert watch.take() == {"act": 5.0, "learn": 2.0}
    watch.end("events")
    assert watch.take() == {"events": 8.0}


def test_one_that_does_not_run_says_nothing(time):
    watch = Profiler(is_on=False)
    time.now += 1
    watch.end("act")
    assert watch.take() == {}


@pytest.mark.parametrize("algo", ["a3c", "one-step-sarsa"])
def test_an_actor_learner_charges_its_loop_to_known_phases(algo):
    subject = actor(*prepare(algo=algo, profile=True))
    for _ in range(3):
        subject.update()
    seconds = subject.profiler.take()
    assert set(seconds) == set(PHASES) - {"waiting"}
    assert min(seconds.values()) > 0


def test_what_is_told_is_charged_to_events(time):
    subject = actor(*prepare(profile=True))
    send = subject.pipe.send

    def slow(event):
        time.now += 1
        send(event)

    subject.reporter = Reporter(0, slow)
    subject.update()
    before = len(subject.pipe.sent)  # games: they are in the Interval
    subject.report()
    time.now += 10
    subject.update()
    seconds = subject.profiler.take()
    assert seconds["events"] == len(subject.pipe.sent) - before
    assert seconds["pull"] == 10  # what follows an update begins the next
