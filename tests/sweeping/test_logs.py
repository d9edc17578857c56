"""The log of a cell: what is there and is no file blocks nothing, and no link is followed."""

import os
import time

import pytest

from asyncrl.sweeping.executors import LOGS, LocalProcesses, Task
from tests.sweeping.fakes import FakeExecutor
from tests.sweeping.test_driver import drive, plan  # noqa: F401


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "file in place of the directory"])
def test_log_that_is_no_file_is_set_aside(tmp_path, kind):
    logs, other = tmp_path / "sweep" / LOGS, tmp_path / "other"
    other.write_text("precious")
    if kind == "file in place of the directory":
        logs.parent.mkdir()
        logs.touch()
    else:
        logs.mkdir(parents=True)
        make = {"fifo": os.mkfifo, "link": lambda log: log.symlink_to(other), "directory": os.mkdir}
        make[kind](logs / "cell.log")
    executor = LocalProcesses()
    executor.submit(Task(tmp_path / "sweep", "cell", {}, {}, 1))
    executor.cancel("cell", now=True)
    while not executor.poll():
        time.sleep(0.01)
    assert (logs / "cell.log").is_file()
    assert not (logs / "cell.log").is_symlink()
    assert other.read_text() == "precious"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "huge"])
def test_driver_reads_little_of_a_log_of_a_failed_cell(tmp_path, plan, kind):  # noqa: F811
    log = tmp_path / LOGS / f"{plan[1].name}.log"
    log.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(log)
    else:
        log.touch()
        os.truncate(log, 1 << 40)
    outcome, _ = drive(tmp_path, plan, FakeExecutor(failing=[plan[1].name]))
    assert [cell.name for cell, _ in outcome.progress.failed] == [plan[1].name]
