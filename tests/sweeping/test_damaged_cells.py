"""Cells whose directories are damaged, of a newer asyncrl, or no directories: nothing of theirs is deleted."""

import json
import os

import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import cells
from tests.sweeping.fakes import FakeExecutor, write_run
from tests.sweeping.test_driver import drive, plan  # noqa: F401


def trained(root, cell, status="finished"):
    """Write the run of a cell with a checkpoint, and a file of somebody's in it."""
    write_run(root, cell.name, cell.table, 1.0, status)
    run = root / cell.name
    (run / "checkpoints" / "000000006000").mkdir(parents=True)
    (run / "mark").touch()
    return run


def test_cell_of_a_newer_asyncrl_is_refused_and_kept(tmp_path, plan):  # noqa: F811
    run = trained(tmp_path, plan[1])
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"format": 99}))
    executor = FakeExecutor()
    with pytest.raises(InputError, match="was written by a newer asyncrl"):
        drive(tmp_path, plan, executor)
    assert executor.started == []
    assert cells.prepare(run)
    assert (run / "mark").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_cell_with_a_damaged_document_is_moved_and_named(text, tmp_path, plan):  # noqa: F811
    run = trained(tmp_path, plan[1])
    (run / "run.json").unlink()
    if text is not None:
        (run / "run.json").write_text(text)
    outcome, messages = drive(tmp_path, plan, FakeExecutor())
    (kept,) = (tmp_path / "set-aside").iterdir()
    assert outcome.code == Exit.OK
    assert outcome.progress.finished == 4
    assert (kept / "mark").exists()
    assert not (run / "mark").exists()
    assert [message for message in messages if f"{run.name} cannot be resumed; it was moved to {kept}" in message]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_text("x"), lambda path: path.symlink_to("/tmp")])
def test_cell_that_is_no_directory_is_moved(make, tmp_path, plan):  # noqa: F811
    make(tmp_path / plan[0].name)
    outcome, _ = drive(tmp_path, plan, FakeExecutor())
    assert (outcome.code, outcome.progress.finished) == (Exit.OK, 4)
    assert [kept.name[: len(plan[0].name)] for kept in (tmp_path / "set-aside").iterdir()] == [plan[0].name]


def test_prepare_removes_a_directory_without_checkpoints_alone(tmp_path, plan):  # noqa: F811
    write_run(tmp_path, "early", plan[0].table, 1.0, "running")
    assert not cells.prepare(tmp_path / "early")
    assert not (tmp_path / "early").exists()
    run = trained(tmp_path, plan[0], "interrupted")
    (run / "run.json").write_text("{")
    assert cells.prepare(run)
    assert (run / "mark").exists()
