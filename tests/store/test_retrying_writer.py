"""RetryingWriter on a disk that is full for a while: with real file-size limits, and a clock that the tests set."""

import pytest
import torch

from asyncrl.store import retrying_writer
from asyncrl.store.checkpoint import Checkpoint, best, load
from asyncrl.store.document import read_document
from asyncrl.store.retrying_writer import RetryingWriter
from asyncrl.store.rows import read_rows
from tests.clock import Time
from tests.limits import full

PATIENCE = 100.0  # seconds


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(retrying_writer, "time", time)
    return time


@pytest.fixture
def writer(tmp_path, time):
    """Return a writer of a run that has begun."""
    with RetryingWriter(tmp_path, PATIENCE) as writer:
        writer.begin(status="running")
        yield writer


def make(step, size=1_000):
    return Checkpoint(step, {"theta": torch.full((size,), float(step))}, [], {})


def rows(writer, name="episodes"):
    return [row["i"] for row in read_rows(writer.run, name)]


def hidden(run):
    return [path for path in run.rglob("*") if path.name.startswith(".")]


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_append_on_a_full_disk_keeps_rows_and_writes_them_in_order_later(writer, time):
    text = "x" * 100
    with full():
        for i in range(50):
            writer.append("episodes", {"i": i, "text": text})
            writer.append("metrics", {"i": i} if i < 3 else {"i": i, "text": text})
        assert rows(writer) == list(range(len(rows(writer))))
        assert 0 < len(rows(writer)) < 10
        assert writer.reason == "No space left on device"  # a part of the last row did fit
        assert writer.waiting == 100 - len(rows(writer)) - len(rows(writer, "metrics"))
        writer.update_document(seconds=1.5)
    assert "seconds" not in read_document(writer.run)
    writer.retry()
    assert writer.waiting  # the delay is not over
    time.now += 1
    writer.retry()
    assert (writer.waiting, writer.lost, writer.reason) == (0, 0, "")
    assert rows(writer) == rows(writer, "metrics") == list(range(50))
    assert read_document(writer.run)["seconds"] == 1.5
    assert writer.pop_incidents() == ["the run could not be written for 1 s (No space left on device); no row was lost"]
    assert writer.pop_incidents() == []


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_retry_with_one_file_at_its_limit_writes_the_others(writer, time):
    with full():
        for i in range(20):
            writer.append("episodes", {"i": i, "text": "x" * 100})
        time.now += 1
        writer.append("evaluations", {"i": 1})
        time.now += 60
        writer.update_document(status="failed")
        assert rows(writer, "evaluations") == [1]
        assert read_document(writer.run)["status"] == "failed"
        assert writer.waiting


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_append_beyond_the_backlog_counts_lost_rows_of_that_file_only(writer, time, monkeypatch):
    monkeypatch.setattr(retrying_writer, "BACKLOG", 10)
    with full(0):
        writer.append("evaluations", {"i": 0})
        for i in range(30):
            writer.append("episodes", {"i": i})
    time.now += 1
    writer.retry()
    assert (rows(writer), rows(writer, "evaluations")) == (list(range(10)), [0])
    assert writer.lost == 20
    assert writer.pop_incidents()[0].endswith("20 rows lost in total")


def test_save_on_a_full_disk_keeps_the_previous_checkpoint_and_backs_off(writer, time, recwarn):
    assert writer.save(make(100), 3)
    with full():
        assert not writer.save(make(200), 3)
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            time.now += seconds - 0.5
            assert not writer.should_retry_save
            time.now += 0.5
            assert writer.should_retry_save
            assert not writer.save(make(200), 3)
    (warning,) = recwarn
    assert "cannot be written: File too large. Training continues" in str(warning.message)
    assert writer.failed == 9
    assert load(writer.run).step == writer.saved == 100
    assert [path.name for path in (writer.run / "checkpoints").iterdir()] == ["000000000100"]
    assert hidden(writer.run) == []
    assert writer.save(make(300), 3)
    assert not writer.should_retry_save
    assert (load(writer.run).step, writer.saved) == (300, 300)
    assert "for 183 s" in writer.pop_incidents()[0]


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_it_gave_up_only_where_a_checkpoint_has_failed_for_as_long_as_there_is_patience(writer, time):
    with full(100):
        writer.append("episodes", {"text": "x" * 200})
        time.now += 2 * PATIENCE
        assert not writer.gave_up
        assert not writer.save(make(1), 3)
        time.now += PATIENCE - 1
        assert not writer.save(make(2), 3)
        assert not writer.gave_up
        time.now += 1
        assert writer.gave_up
    assert writer.save(make(3), 3)
    assert not writer.gave_up


@pytest.mark.filterwarnings("ignore:.*cannot be written")
def test_mark_if_best_on_a_full_disk_is_written_at_the_next_retry(writer, time):
    writer.save(make(100), 3)
    with full(0):
        writer.mark_if_best(100, 7.5)
        writer.mark_if_best(50, 7.0)  # lower than the pending one
        assert best(writer.run) is None
    time.now += 1
    writer.retry()
    assert best(writer.run) == (100, 7.5)
    for score in (7.0, 7.5):
        writer.mark_if_best(50, score)
    assert best(writer.run) == (100, 7.5)


def test_begin_on_a_full_disk_raises_and_writes_nothing(tmp_path):
    with RetryingWriter(tmp_path, PATIENCE) as writer, full(0), pytest.raises(OSError, match="File too large"):
        writer.begin(status="running")
    assert list(tmp_path.iterdir()) == []
