"""Files of a run that other programs remove, change or replace while it is written: with real files, no mocks."""

import errno
import os
import shutil

import pytest
import torch

from asyncrl.errors import InputError
from asyncrl.store import atomic, retrying_writer
from asyncrl.store.checkpoint import Checkpoint, best, load, save
from asyncrl.store.document import read_document
from asyncrl.store.retrying_writer import CHECK_SECONDS, RetryingWriter
from asyncrl.store.rows import read_rows
from asyncrl.store.runs import hold, is_held
from tests.clock import Time

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(retrying_writer, "time", time)
    return time


@pytest.fixture
def run(tmp_path):
    (run := tmp_path / "results" / "mine").mkdir(parents=True)
    return run


@pytest.fixture
def writer(run, time):
    """Return a writer of a run that has its lock, three rows and a checkpoint."""
    with hold(run), RetryingWriter(run, patience=100.0) as writer:
        writer.begin(status="running", config={"frames": 3})
        for i in range(3):
            writer.append("episodes", {"i": i})
        assert writer.save(make(100), keep=3)
        writer.mark_if_best(100, 1.5)
        yield writer


def make(step):
    return Checkpoint(step, {"theta": torch.full((100,), float(step))}, [], {})


def check(writer, time):
    """Let the writer look at its files."""
    time.now += CHECK_SECONDS
    writer.retry()


def numbers(run):
    return [row["i"] for row in read_rows(run, "episodes")]


def outside(path):
    """Return a file and a directory that no run may write to."""
    (root,) = (parent.parent for parent in path.parents if parent.name == "results")
    file, folder = root / "private", root / "private.d"
    file.write_text("mine\n")
    folder.mkdir(exist_ok=True)
    return file, folder


def assert_outside_is_unchanged(run):
    assert (run.parents[1] / "private").read_text() == "mine\n"
    assert os.listdir(run.parents[1] / "private.d") == []


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def replace_by(kind, path):
    """Put something else in the place of a file or directory."""
    file, folder = outside(path)
    if path.exists():
        remove(path)
    if kind == "directory":
        path.mkdir()
    elif kind == "full directory":
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    elif kind == "link to a file":
        path.symlink_to(file)
    elif kind == "link to a directory":
        path.symlink_to(folder)
    elif kind == "dangling link":
        path.symlink_to(folder / "nothing")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "file":
        path.write_text("mine")


KINDS = ["nothing", "directory", "full directory", "link to a file", "link to a directory", "dangling link", "pipe"]


@pytest.mark.parametrize("kind", KINDS)
def test_run_json_replaced_is_written_again_from_memory_and_named_once(writer, run, time, kind):
    for _ in range(2):
        replace_by(kind, run / "run.json")
        check(writer, time)
        assert read_document(run) == {"format": 1, "status": "running", "config": {"frames": 3}}
        assert not (run / "run.json").is_symlink()
    writer.update_document(status="finished")
    assert read_document(run)["status"] == "finished"
    assert writer.pop_incidents() == ["run.json was missing or changed; it was written again"]
    assert_outside_is_unchanged(run)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', "[]", '{"format": 99}', "\x00" * 500])
def test_run_json_with_nonsense_is_written_again_and_never_read(writer, run, time, text):
    (run / "run.json").write_text(text)
    writer.update_document(frames=7)
    assert read_document(run) == {"format": 1, "status": "running", "config": {"frames": 3}, "frames": 7}
    (run / "run.json").write_text(text)
    check(writer, time)
    assert read_document(run)["frames"] == 7


@pytest.mark.parametrize("kind", KINDS)
def test_row_file_replaced_is_written_again_with_all_its_rows_and_named_once(writer, run, time, kind):
    for _ in range(2):
        replace_by(kind, run / "episodes.jsonl")
        check(writer, time)
        assert numbers(run) == [0, 1, 2]
    writer.append("episodes", {"i": 3})
    assert numbers(run) == [0, 1, 2, 3]
    (incident,) = writer.pop_incidents()
    assert incident.startswith("episodes.jsonl was ")
    assert incident.endswith("; its rows were written again")
    assert_outside_is_unchanged(run)


@pytest.mark.parametrize(
    "damage", [b"", b'{"i": 0}\n', b"x" * 500, b"\n" * 500], ids=["cut", "cut later", "x", "lines"]
)
def test_row_file_overwritten_keeps_later_rows_and_the_damage_is_named(writer, run, time, damage):
    (run / "episodes.jsonl").write_bytes(damage)
    check(writer, time)
    for i in (3, 4):
        writer.append("episodes", {"i": i})
    assert numbers(run)[-2:] == [3, 4]
    assert writer.pop_incidents() == ["episodes.jsonl was changed by another program; rows may be lost"]


def test_row_file_of_an_earlier_session_removed_before_its_first_row_is_written_again(run, time):
    with RetryingWriter(run, patience=100.0) as writer:
        writer.begin(status="running")
        writer.append("evaluations", {"i": 1})
    with RetryingWriter(run, patience=100.0) as writer:
        writer.begin(status="running")
        (run / "evaluations.jsonl").unlink()
        check(writer, time)
        assert read_rows(run, "evaluations") == [{"i": 1}]


@pytest.mark.parametrize("kind", ["nothing", "moved", "file", "dangling link", "link to a directory"])
def test_run_directory_gone_is_created_again_with_everything_in_memory(writer, run, time, kind):
    run.rename(run.with_name("elsewhere")) if kind == "moved" else replace_by(kind, run)
    check(writer, time)
    writer.append("episodes", {"i": 3})
    assert numbers(run) == [0, 1, 2, 3]
    assert read_document(run)["config"] == {"frames": 3}
    assert is_held(run)
    assert writer.should_retry_save
    assert writer.save(make(200), keep=3)
    assert not writer.should_retry_save
    assert load(run).step == 200
    assert sum("created again" in incident for incident in writer.pop_incidents()) == 1


def test_results_directory_gone_is_waited_for_and_then_all_is_written(writer, run, time):
    run.parent.rename(run.parents[1] / "elsewhere")
    writer.append("episodes", {"i": 3})
    writer.update_document(frames=5)
    assert not writer.save(make(200), keep=3)
    assert writer.reason == "No such file or directory"
    time.now += 100
    assert writer.gave_up
    run.parent.mkdir()
    writer.retry()
    assert writer.save(make(200), keep=3)
    assert not writer.gave_up
    assert (numbers(run), read_document(run)["frames"], writer.reason) == ([0, 1, 2, 3], 5, "")


def test_run_directory_of_another_process_is_not_written_to(writer, run, time):
    run.rename(run.with_name("elsewhere"))
    run.mkdir()
    with hold(run):
        writer.append("episodes", {"i": 3})
        assert not writer.save(make(200), keep=3)
        assert os.listdir(run) == ["lock"]
        assert "is being trained by process" in writer.reason
    time.now += 60
    writer.retry()
    assert numbers(run) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["nothing", "directory", "link to a file", "pipe"])
def test_lock_removed_is_taken_again_so_that_no_other_process_trains_the_run(writer, run, time, kind):
    replace_by(kind, run / "lock")
    check(writer, time)
    with pytest.raises(InputError, match="is being trained by process"), hold(run):
        pass
    assert_outside_is_unchanged(run)


def test_checkpoints_removed_are_saved_anew(writer, run, time):
    shutil.rmtree(run / "checkpoints")
    check(writer, time)
    assert writer.should_retry_save
    assert writer.save(make(200), keep=3)
    assert load(run).step == 200


def test_mark_of_the_best_removed_is_written_again_and_no_lower_score_replaces_it(writer, run, time):
    (run / "checkpoints" / "best.json").unlink()
    writer.mark_if_best(100, 0.5)
    check(writer, time)
    assert best(run) == (100, 1.5)
    shutil.rmtree(run / "checkpoints")
    check(writer, time)
    writer.save(make(200), keep=3)
    check(writer, time)
    writer.mark_if_best(200, 0.5)  # the better one is lost
    assert best(run) == (200, 0.5)


@pytest.mark.parametrize(
    "name",
    ["EROFS", "ESTALE", "EACCES", "EPERM", "ENOTDIR", "ELOOP", "EIO", "ENAMETOOLONG", "EMFILE", "ENFILE", "ENOENT"],
)
def test_write_error_of_any_kind_is_retried(writer, run, time, monkeypatch, name):
    code = getattr(errno, name)

    def fail(*arguments):
        raise OSError(code, os.strerror(code), "a name")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert not writer.save(make(200), keep=3)
        writer.update_document(frames=5)
        assert writer.waiting == 1
        assert writer.reason == os.strerror(code)
    time.now += 60
    writer.retry()
    assert writer.save(make(200), keep=3)
    assert (writer.waiting, writer.reason, load(run).step) == (0, "", 200)
    assert not [path for path in run.rglob("*") if path.name.startswith(".tmp-")]


LEFTOVERS = ["file", *KINDS[1:]]


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_save_with_a_leftover_of_any_kind_removes_it_and_nothing_that_it_leads_to(writer, run, kind):
    replace_by(kind, run / "checkpoints" / ".tmp-0000")
    assert writer.save(make(200), keep=3)
    assert not list((run / "checkpoints").glob(".tmp-*"))
    assert_outside_is_unchanged(run)


def test_save_with_a_leftover_that_cannot_be_removed_succeeds(writer, run, monkeypatch):
    leftover = run / "checkpoints" / ".tmp-0000"
    leftover.write_text("")
    unlink = os.unlink

    def refuse(path, **options):
        if str(path) == str(leftover):
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        return unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    assert writer.save(make(200), keep=3)
    assert load(run).step == 200
    assert leftover.exists()


@pytest.mark.parametrize("kind", ["file", *KINDS[3:]])
def test_save_with_something_in_the_place_of_checkpoints_keeps_it_and_writes_nothing_through_it(writer, run, kind):
    replace_by(kind, run / "checkpoints")
    assert writer.save(make(200), keep=3)
    assert load(run).step == 200
    assert_outside_is_unchanged(run)
    assert len(list(run.glob("checkpoints.set-aside-*"))) == 1
    assert writer.pop_incidents() == [
        "checkpoints was removed or replaced: it had no checkpoint of step 100; one is saved"
    ]


@pytest.mark.parametrize("kind", LEFTOVERS)
@pytest.mark.parametrize("suffix", ["", "-displaced"])
def test_save_with_something_in_the_place_of_its_directory_replaces_it(writer, run, kind, suffix):
    replace_by(kind, run / "checkpoints" / f"000000000200{suffix}")
    assert writer.save(make(200), keep=3)
    assert load(run).step == 200
    assert_outside_is_unchanged(run)


@pytest.mark.parametrize("kind", KINDS)
def test_load_with_something_in_the_place_of_the_newest_uses_the_one_before(run, kind):
    for step in (100, 200):
        save(run, make(step))
    replace_by(kind, run / "checkpoints" / "000000000200")
    assert load(run).step == 100
    replace_by(kind, run / "checkpoints" / "best.json")
    assert best(run) is None


def test_replace_file_whose_temporary_file_cannot_be_removed_raises_the_first_error(run, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(-1, b""))  # an OSError
    monkeypatch.setattr(os, "unlink", lambda path, **options: os.mkdir(run))  # another one
    with pytest.raises(OSError, match="Bad file descriptor"):
        atomic.replace_file(run / "file", b"text")
