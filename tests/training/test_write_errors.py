"""Sessions whose writes fail with errors that a test cannot cause for real, or at instants that it cannot hit."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from asyncrl import experiment
from asyncrl.errors import Exit, RunFailed
from asyncrl.events import Severity
from asyncrl.store import retrying_writer, rows
from asyncrl.store.checkpoint import best, load, save
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from asyncrl.training import checkpointing
from asyncrl.training.weight_guard import WeightGuard
from tests.runtime.setups import prepare, resolve, write_theta
from tests.store.forgery import forge, newest

pytestmark = [pytest.mark.usefixtures("nothing_left"), pytest.mark.filterwarnings("ignore:.*cannot be written")]
CODES = [errno.EROFS, errno.ESTALE, errno.EACCES, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE]


def fail(code):
    raise OSError(code, os.strerror(code), "a name")


@pytest.mark.parametrize("code", [errno.EROFS, errno.ESTALE, errno.ENOENT])
def test_session_that_cannot_write_run_json_ends_with_5_before_any_process(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", lambda descriptor: fail(code))
    with pytest.raises(RunFailed, match=f"cannot be written: {os.strerror(code)}") as caught:
        experiment.train(resolve(frames=1_000), tmp_path)
    assert caught.value.code == Exit.DISK_FULL


@pytest.mark.faults
def test_session_whose_last_writes_fail_for_a_while_waits_and_finishes(tmp_path, monkeypatch):
    fsync, pending, views = os.fsync, [], []

    def sometimes(descriptor):
        if views and views[-1].frames >= 300 and len(pending) < len(CODES):
            pending.append(descriptor)
            fail(CODES[len(pending) - 1])
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sometimes)
    monkeypatch.setattr(retrying_writer, "FIRST_RETRY", 0.05)
    config = resolve(frames=300, evaluation={"episodes": 1, "every": 10_000}, checkpoints={"every": 10_000})
    run = experiment.train(config, tmp_path, show=views.append)
    assert len(pending) == len(CODES)
    document = read_document(run)
    assert (document["status"], load(run).step) == ("finished", document["steps"])
    assert best(run).step == document["steps"]
    assert any("could not be written for" in row["reason"] for row in read_rows(run, "failures"))


def test_session_whose_last_run_json_fails_for_a_while_waits_and_finishes(tmp_path, monkeypatch):
    replace, failed = rows.replace_file, []

    def refuse(path, data):
        if b'"finished"' in data and len(failed) < 3:
            failed.append(path)
            fail(errno.EACCES)
        replace(path, data)

    monkeypatch.setattr(rows, "replace_file", refuse)
    monkeypatch.setattr(retrying_writer, "FIRST_RETRY", 0.05)
    run = experiment.train(resolve(frames=300), tmp_path)
    assert len(failed) == 3
    assert read_document(run)["status"] == "finished"


@pytest.mark.faults
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ESTALE])
@pytest.mark.parametrize("name", ["run.json", "best.json", "evaluations.jsonl"])
def test_session_whose_end_cannot_be_written_ends_with_5_and_keeps_the_last_checkpoint(
    tmp_path, monkeypatch, name, code
):
    replace, views = rows.replace_file, []

    def refuse(path, data):
        if views and views[-1].frames >= 300 and path.name == name:
            fail(code)
        replace(path, data)

    monkeypatch.setattr(rows, "replace_file", refuse)
    monkeypatch.setattr("asyncrl.store.atomic.replace_file", refuse)
    append = rows.Writer.append
    monkeypatch.setattr(rows.Writer, "append", lambda *own: fail(code) if f"{own[1]}.jsonl" == name else append(*own))
    checkpoint_settings = {"every": 10_000, "patience_seconds": 1.0}
    config = resolve(frames=300, evaluation={"episodes": 1, "every": 10_000}, checkpoints=checkpoint_settings)
    with pytest.raises(RunFailed, match="the end of the run could not be written") as caught:
        experiment.train(config, tmp_path, show=views.append)
    assert caught.value.code == Exit.DISK_FULL
    assert load(caught.value.run).step >= 300


def test_retry_where_the_results_are_on_another_disk_writes_nothing_there(tmp_path, monkeypatch):
    if os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system")
    run, other = tmp_path / "results" / "mine", Path(tempfile.mkdtemp(dir="/dev/shm"))
    run.mkdir(parents=True)
    try:
        with retrying_writer.RetryingWriter(run, patience=1.0) as writer:
            writer.begin(status="running")
            shutil.rmtree(run.parent)
            run.parent.symlink_to(other)  # as a mount point whose disk is gone
            writer.update_document(frames=1)
            assert "the file system" in writer.reason
            assert list(other.iterdir()) == []
    finally:
        other.rmdir()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, workers, manifest: tensors.update(theta=tensors["theta"][1:]),
        lambda tensors, workers, manifest: tensors.update(target=tensors["target"] / 0),
        lambda tensors, workers, manifest: tensors.pop("optimizer_state"),
    ],
    ids=["shorter", "infinite", "missing"],
)
def test_roll_back_with_a_checkpoint_that_lies_uses_the_one_before(tmp_path, change):
    _, parameters = prepare(algo="n-step-q", threads=2)
    for step in (0, 100):
        save(tmp_path, checkpointing.take(parameters, {}, {})._replace(step=step))
    forge(newest(tmp_path), change)
    write_theta(parameters, torch.full_like(torch.from_numpy(parameters.theta.copy()), float("nan")))
    with pytest.warns(UserWarning, match="Going back to step 0"):
        incident = WeightGuard(tmp_path, parameters).roll_back_if_nonfinite()
    assert incident.severity == Severity.RECOVERED
    assert not parameters.nonfinite()
