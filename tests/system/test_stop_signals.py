"""Signals that ask a run to end: with real ones, sent to this process."""

import os
import signal

import pytest

from asyncrl.errors import STOPS, Exit, Stopped
from asyncrl.system.stop_signals import StopSignals

TERM, WARNING = signal.SIGTERM, signal.SIGUSR1


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def nothing_is_ignored():
    """Have no signal ignored, as SIGINT is where a shell has started these tests in the background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPS)
def test_each_is_heard_once_and_what_was_there_is_put_back(number):
    before, calls = signal.getsignal(number), []
    with StopSignals(STOPS, lambda: calls.append(number)) as signals:
        assert signals.received is None
        send(number)
        assert (signals.received, calls) == (number, [number])
    assert signal.getsignal(number) == before


def test_each_has_its_exit_code_and_its_name(tmp_path):
    assert {number: code for number, code in STOPS.items() if code > 128} == {
        number: 128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    assert STOPS[WARNING] == os.EX_TEMPFAIL == 75
    said = {code: str(Stopped(tmp_path, code)) for code in STOPS.values()}
    assert said[Exit.WARNED] == "stopped by SIGUSR1"
    assert said[Exit.INTERRUPTED] == "stopped by Ctrl-C"


@pytest.mark.parametrize(
    ("sent", "heard", "is_hurried"),
    [
        ((TERM, TERM), TERM, True),
        ((TERM, WARNING), TERM, False),
        ((WARNING, WARNING, WARNING), WARNING, False),
        ((WARNING, TERM), TERM, False),
        ((WARNING, TERM, TERM), TERM, True),
    ],
)
def test_asked_twice_is_now_but_a_scheduler_may_warn_as_often_as_it_likes(sent, heard, is_hurried):
    interrupted, calls = False, []
    with StopSignals(STOPS, lambda: calls.append(1)) as signals:
        try:
            send(*sent)
        except KeyboardInterrupt:
            interrupted = True
    assert (signals.received, interrupted) == (heard, is_hurried)
    assert calls


def test_what_was_ignored_stays_ignored():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(STOPS, lambda: None) as signals:
            send(signal.SIGHUP)
        assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, old)
