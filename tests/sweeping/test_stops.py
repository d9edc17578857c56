"""What stops a sweep, or does not: signals at any moment, files that cannot be read, cells that cannot be resumed."""

import errno
import os
import signal

import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import driver as drivers
from asyncrl.sweeping.driver import Driver
from asyncrl.sweeping.source import FixedCells
from tests.sweeping.fakes import FakeExecutor
from tests.sweeping.test_driver import drive, plan  # noqa: F401


class Alive(FakeExecutor):
    """Has three slots; a task ends when it is cancelled. ``when`` is called before each task has a process."""

    def __init__(self, when):
        super().__init__()
        self._when, self._alive = when, set()

    def has_room(self, cores):
        return len(self._alive) < 3

    def submit(self, task):
        self._when(task)
        self.started.append(task.name)
        self._alive.add(task.name)

    def cancel(self, name, now=False):
        if name in self._alive:
            self.cancelled.append((name, now))
            self._alive.discard(name)
            self._ends.append((name, -signal.SIGTERM))


@pytest.mark.timeout(60)
def test_signal_during_a_start_stops_that_cell_with_a_checkpoint(tmp_path, plan, monkeypatch):  # noqa: F811
    monkeypatch.setattr(drivers, "STOP_SECONDS", 5.0)
    # a second signal would end the driver at once
    executor = Alive(lambda task: executor.started or os.kill(os.getpid(), signal.SIGTERM))
    outcome, _ = drive(tmp_path, plan, executor)
    assert outcome.code == Exit.TERMINATED
    assert executor.started == [plan[0].name]
    assert executor.cancelled == [(plan[0].name, False)]


@pytest.mark.timeout(60)
def test_source_that_fails_stops_the_other_cells_with_checkpoints(tmp_path, plan):  # noqa: F811
    class Failing(FixedCells):
        def next(self):
            if len(executor.started) == 2:
                raise InputError("the study is gone")
            return super().next()

    executor = Alive(lambda task: None)
    with pytest.raises(InputError, match="the study is gone"):
        Driver(tmp_path, Failing(plan, []), executor, lambda progress: None).run()
    assert sorted(executor.cancelled) == sorted((cell.name, False) for cell in plan[:2])


@pytest.mark.timeout(60)
def test_cell_that_cannot_be_started_stops_the_others_with_checkpoints(tmp_path, plan):  # noqa: F811
    def fill_the_disk(task):
        if len(executor.started) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    executor = Alive(fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        drive(tmp_path, plan, executor)
    assert sorted(executor.cancelled) == sorted((cell.name, False) for cell in plan[:2])


@pytest.mark.timeout(60)
def test_source_that_fails_while_several_cells_end_ends_the_sweep(tmp_path, plan):  # noqa: F811
    class Failing(FixedCells):
        def record(self, cell, is_finished):
            raise InputError("the study is gone")

    class AllAtOnce(FakeExecutor):
        def has_room(self, cores):
            return len(self._ends) < 3

    with pytest.raises(InputError, match="the study is gone"):
        Driver(tmp_path, Failing(plan, []), AllAtOnce(), lambda progress: None).run()


def test_cell_whose_evaluations_cannot_be_read_stops_no_other(tmp_path, plan):  # noqa: F811
    class Broken(FakeExecutor):
        def submit(self, task):
            super().submit(task)
            if task.name == plan[0].name:
                file = task.root / task.name / "evaluations.jsonl"
                file.unlink()
                file.mkdir()

    outcome, messages = drive(tmp_path, plan, Broken())
    assert outcome.progress.finished == 4
    assert messages[0] == "finished optimizer.lr=0.001, seed 1"


def test_cell_with_damaged_checkpoints_is_not_retried_and_names_the_way_out(tmp_path, plan):  # noqa: F811
    class Damaged(FakeExecutor):
        def poll(self):
            return [(name, int(Exit.NO_CHECKPOINT) if code else 0) for name, code in super().poll()]

    executor = Damaged(failing=[plan[0].name])
    outcome, _ = drive(tmp_path, plan, executor)
    assert executor.started.count(plan[0].name) == 1
    ((_, reason),) = outcome.progress.failed
    assert reason == f"all its checkpoints are damaged; remove {tmp_path / plan[0].name} to start it again"
