"""The parent keeps up with its workers: queues and turns are bounded, and nothing that is counted is lost."""

import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from asyncrl.envs.base import Episode
from asyncrl.events import EpisodeEnd
from asyncrl.runtime import supervisor
from asyncrl.runtime.reporter import MOST_EPISODES, Reporter
from asyncrl.runtime.spawn import CONTEXT
from asyncrl.runtime.worker import Update
from asyncrl.runtime.worker_slot import QUEUED, PipeReader
from tests.runtime.setups import make_pool, prepare, wait_until

MANY = 300  # messages, of about a kilobyte: more than a pipe and a queue take


def end(number, worker=0):
    return EpisodeEnd(worker, float(number), 1, number, number, None)


def batch(number):
    return [end(100 * number + i) for i in range(40)]


def imitate(workers, **settings):
    """Return a pool whose workers are pipes that a test writes to, and these pipes."""
    job, parameters = prepare(threads=workers, workers=settings)
    parameters.advance(0, 1)
    pool = make_pool(job, parameters)
    alive = SimpleNamespace(exitcode=None, join=lambda timeout=None: None, kill=int, is_alive=lambda: True)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in pool.slots]
    for slot, (ours, _) in zip(pool.slots, pipes, strict=True):
        slot.reader, slot.process = PipeReader(ours, threading.Event()), alive
        slot.reader.start()
    return pool, [theirs for _, theirs in pipes]


def close(pool, pipes):
    for pipe in pipes:
        pipe.close()
    for slot in pool.slots:
        if slot.reader is not None:
            slot.reader.close()


@pytest.fixture
def flood():
    """Return a reader whose worker sends MANY messages, and a list with an entry for each that was sent."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    sent = []

    def send():
        with suppress(OSError):  # the test is over
            for number in range(MANY):
                theirs.send(batch(number))
                sent.append(number)
        theirs.close()

    reader, worker = PipeReader(ours, threading.Event()), threading.Thread(target=send, daemon=True)
    reader.start()
    worker.start()
    yield reader, sent
    reader.close()
    ours.close()
    wait_until(lambda: not worker.is_alive(), seconds=1)


def settle(sent):
    """Wait until a worker sends nothing more."""
    counts = [-1, -2]
    while counts[-1] != counts[-2]:
        time.sleep(0.3)
        counts.append(len(sent))


def test_a_worker_whose_events_are_not_read_waits(flood):
    _, sent = flood
    settle(sent)
    assert QUEUED < len(sent) < MANY


def test_a_worker_that_waited_loses_nothing(flood):
    reader, _ = flood
    taken = []
    while reader.is_alive() or not reader.is_empty:
        more = list(reader.take())
        assert len(more) <= 40 * QUEUED
        taken += more
    assert taken == [event for number in range(MANY) for event in batch(number)]


def test_a_reader_that_waits_for_room_can_be_closed(flood):
    reader, sent = flood
    settle(sent)
    reader.close()
    assert wait_until(lambda: not reader.is_alive(), seconds=5)


def test_a_worker_with_many_events_delays_no_other(monkeypatch):
    monkeypatch.setattr(supervisor, "TURN_SECONDS", 0.05)
    pool, pipes = imitate(3)
    for worker, pipe in enumerate(pipes):
        for number in range(QUEUED):
            pipe.send([end(number, worker)])
    wait_until(lambda: not any(slot.reader.is_empty for slot in pool.slots))
    seen = []
    for _ in range(3):
        turn = []
        for event in pool.events(timeout=0.01):
            time.sleep(0.03)  # rows are slow to write
            turn.append(event.worker)
            if event.worker == 0:
                pipes[0].send([end(1, 0)])  # there is always more of worker 0
        assert len(turn) == QUEUED  # the other workers' events wait for the next turn
        seen += turn
    assert set(seen) == {0, 1, 2}
    close(pool, pipes)


@pytest.mark.parametrize(("updates", "episodes"), [(1, 0), (1, 1), (3, MOST_EPISODES), (700, 3)])
def test_a_report_has_all_episodes_in_messages_of_bounded_size(updates, episodes):
    sent = []
    reporter = Reporter(5, sent.append)
    for number in range(updates):
        ended = [(Episode(i, float(number), 1, True), None) for i in range(episodes)]
        reporter.add(Update(max(1, episodes), True, {}, ended, number, number))
    reporter.report(updates, updates, {})
    *batches, interval = sent
    assert all(0 < len(messages) <= MOST_EPISODES for messages in batches)
    assert len(batches) == -(-updates * episodes // MOST_EPISODES)
    scores = [event.score for messages in batches for event in messages]
    assert scores == [float(number) for number in range(updates) for _ in range(episodes)]
    assert interval.updates == updates
    reporter.report(updates, updates, {})
    assert len(sent) == len(batches) + 2  # nothing is sent twice


@pytest.mark.parametrize("failures", [1, 5, 1_100, 100_000])
def test_a_worker_that_failed_very_often_is_still_replaced(failures):
    pool, pipes = imitate(1, restarts=10**6)
    slot = pool.slots[0]
    slot.failures.extend([time.monotonic()] * (failures - 1))
    pipes[0].send(slot.incident("raised an error")._replace(steps=1))
    pipes[0].close()
    assert wait_until(lambda: not slot.reader.is_empty)
    (incident,) = pool.events(timeout=0)
    assert incident.is_replaced
    assert 0 < slot.restart_at - time.monotonic() <= supervisor.LONGEST_DELAY
