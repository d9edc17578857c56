"""The hand that writes a run, on a disk that is full for a while: with real limits, and a clock that the tests move."""

import os
import warnings

import pytest
import torch

from asyncrl.store import retrying_writer
from asyncrl.store.checkpoint import Checkpoint, best, load
from asyncrl.store.retrying_writer import Keeper
from asyncrl.store.rows import read_rows
from asyncrl.store.runs import read_document
from tests.clock import Time
from tests.limits import full

PATIENCE = 100.0  # seconds


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(retrying_writer, "time", time)
    return time


@pytest.fixture
def hand(tmp_path, time):
    """Return what writes a run."""
    with Keeper(tmp_path, PATIENCE) as keeper:
        keeper.begin(status="running")
        yield keeper


def make(step, size=1_000):
    return Checkpoint(step, {"theta": torch.full((size,), float(step))}, [], {})


def rows(hand, name="episodes"):
    return [row["i"] for row in read_rows(hand.run, name)]


def hidden(run):
    return [path for path in run.rglob("*") if path.name.startswith(".")]


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_rows_wait_for_room_and_none_is_lost_or_out_of_order(hand, time):
    text = "x" * 100
    with full():
        for i in range(50):
            hand.append("episodes", {"i": i, "text": text})
            hand.append("metrics", {"i": i} if i < 3 else {"i": i, "text": text})
        assert rows(hand) == list(range(len(rows(hand))))
        assert 0 < len(rows(hand)) < 10
        assert hand.reason == "No space left on device"  # of the last one, a part did fit
        assert hand.waiting == 100 - len(rows(hand)) - len(rows(hand, "metrics"))
        hand.document(seconds=1.5)
    assert "seconds" not in read_document(hand.run)
    hand.retry()
    assert hand.waiting  # it is not time yet
    time.now += 1
    hand.retry()
    assert (hand.waiting, hand.lost, hand.reason) == (0, 0, "")
    assert rows(hand) == rows(hand, "metrics") == list(range(50))
    assert read_document(hand.run)["seconds"] == 1.5
    assert hand.mended() == "the run could not be written for 1 s (No space left on device); no row was lost"
    assert hand.mended() is None


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_a_file_that_is_too_large_does_not_keep_the_others_from_being_written(hand, time):
    with full():
        for i in range(20):
            hand.append("episodes", {"i": i, "text": "x" * 100})
        time.now += 1
        hand.append("evaluations", {"i": 1})
        time.now += 60
        hand.document(status="failed")
        assert rows(hand, "evaluations") == [1]
        assert read_document(hand.run)["status"] == "failed"
        assert hand.waiting


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_more_rows_than_can_wait_are_counted_and_do_not_displace_those_of_other_files(hand, time, monkeypatch):
    monkeypatch.setattr(retrying_writer, "BACKLOG", 10)
    with full(0):
        hand.append("evaluations", {"i": 0})
        for i in range(30):
            hand.append("episodes", {"i": i})
    time.now += 1
    hand.retry()
    assert (rows(hand), rows(hand, "evaluations")) == (list(range(10)), [0])
    assert hand.lost == 20
    assert hand.mended().endswith("20 rows lost in all")


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_and_nothing_half_written(hand, time, recwarn):
    assert hand.save(make(100), 3)
    with full():
        assert not hand.save(make(200), 3)
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            time.now += seconds - 0.5
            assert not hand.wants_checkpoint
            time.now += 0.5
            assert hand.wants_checkpoint
            assert not hand.save(make(200), 3)
    (told,) = recwarn
    assert "cannot be written: File too large. Training goes on" in str(told.message)
    assert hand.failed == 9
    assert load(hand.run).step == hand.saved == 100
    assert [path.name for path in (hand.run / "checkpoints").iterdir()] == ["000000000100"]
    assert hidden(hand.run) == []
    assert hand.save(make(300), 3)
    assert not hand.wants_checkpoint
    assert (load(hand.run).step, hand.saved) == (300, 300)
    assert "for 183 s" in hand.mended()


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_it_is_hopeless_only_where_a_checkpoint_has_failed_for_as_long_as_there_is_patience(hand, time):
    with full(100):
        hand.append("episodes", {"text": "x" * 200})
        time.now += 2 * PATIENCE
        assert not hand.is_hopeless
        assert not hand.save(make(1), 3)
        time.now += PATIENCE - 1
        assert not hand.save(make(2), 3)
        assert not hand.is_hopeless
        time.now += 1
        assert hand.is_hopeless
    assert hand.save(make(3), 3)
    assert not hand.is_hopeless


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_the_best_checkpoint_is_named_as_soon_as_there_is_room(hand, time):
    hand.save(make(100), 3)
    with full(0):
        hand.mark_if_best(100, 7.5)
        hand.mark_if_best(50, 7.0)  # better than none, were it not for what waits
        assert best(hand.run) is None
    time.now += 1
    hand.retry()
    assert best(hand.run) == (100, 7.5)
    for score in (7.0, 7.5):
        hand.mark_if_best(50, score)
    assert best(hand.run) == (100, 7.5)


def test_what_is_no_full_disk_is_not_waited_out(hand, monkeypatch):
    monkeypatch.setattr(retrying_writer.checkpoints, "save", lambda *_: os.rmdir("/nowhere"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FileNotFoundError):
            hand.save(make(1), 3)


def test_where_nothing_can_be_written_to_begin_with_there_is_no_run(tmp_path):
    with Keeper(tmp_path, PATIENCE) as hand, full(0), pytest.raises(OSError, match="File too large"):
        hand.begin(status="running")
    assert list(tmp_path.iterdir()) == []
