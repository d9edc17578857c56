import json

import pytest

from asyncrl.errors import Exit, InputError
from asyncrl.sweeping import cells
from asyncrl.sweeping.cells import CellState
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.driver import Driver
from asyncrl.sweeping.plan import expand
from asyncrl.sweeping.source import FixedCells
from tests.sweeping.fakes import FakeExecutor, KilledError, write_run

TABLE = {
    "sweep": {"seeds": 2},
    "base": {"env": "CartPole-v1", "frames": 6000, "threads": 1},
    "vary": {"optimizer.lr": [1e-3, 3e-3]},
}


@pytest.fixture
def plan():
    return expand(parse(TABLE))


def drive(root, plan, executor, **options):
    messages = []
    finished = cells.check_settings(root, plan)
    source = FixedCells(plan, finished)
    shown = lambda progress: messages.append(progress.message)  # noqa: E731
    outcome = Driver(root, source, executor, shown, **options).run()
    return outcome, [message for message in messages if message]


def test_driver_trains_each_cell_once(tmp_path, plan):
    executor = FakeExecutor()
    outcome, messages = drive(tmp_path, plan, executor)
    assert executor.started == [cell.name for cell in plan]
    assert outcome.code == Exit.OK
    assert outcome.progress.finished == 4
    assert messages[0].startswith("finished optimizer.lr=0.001, seed 1: score ")


def test_driver_killed_and_started_again_skips_finished_cells(tmp_path, plan):
    with pytest.raises(KilledError):
        drive(tmp_path, plan, FakeExecutor(die_after=2))
    executor = FakeExecutor()
    outcome, _ = drive(tmp_path, plan, executor)
    assert executor.started == [cell.name for cell in plan[2:]]
    assert outcome.progress.finished == outcome.progress.total == 4


def test_driver_failed_cell_is_retried_twice_and_named(tmp_path, plan):
    executor = FakeExecutor(failing=[plan[1].name])
    outcome, messages = drive(tmp_path, plan, executor)
    assert executor.started.count(plan[1].name) == 3
    assert outcome.code == Exit.SWEEP_INCOMPLETE == 1
    assert [cell.name for cell, _ in outcome.progress.failed] == [plan[1].name]
    assert outcome.progress.finished == 3
    assert sum("retry" in message for message in messages) == 2


def test_driver_fail_fast_stops_at_the_first_failure(tmp_path, plan):
    executor = FakeExecutor(failing=[plan[0].name])
    outcome, _ = drive(tmp_path, plan, executor, fail_fast=True)
    assert outcome.code == Exit.SWEEP_INCOMPLETE
    assert not set(executor.started) & {cell.name for cell in plan[2:]}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("finished", CellState.FINISHED),
        ("running", CellState.BEGUN),
        ("interrupted", CellState.BEGUN),
        ("failed", CellState.FAILED),
    ],
)
def test_state_of_a_directory(tmp_path, plan, status, state):
    write_run(tmp_path, "one", plan[0].table, 1.0, status)
    assert cells.state(tmp_path / "one") is state
    assert cells.state(tmp_path / "none") is CellState.MISSING


def test_check_settings_absent_setting_counts_as_its_default(tmp_path, plan):
    write_run(tmp_path, plan[0].name, plan[0].table, 1.0)
    file = tmp_path / plan[0].name / "run.json"
    document = json.loads(file.read_text())
    del document["config"]["averaging"], document["config"]["optimizer"]["anneal_frames"]
    file.write_text(json.dumps(document))
    assert cells.check_settings(tmp_path, plan) == [plan[0]]


def test_check_settings_other_value_is_refused_with_both(tmp_path, plan):
    write_run(tmp_path, plan[0].name, plan[0].table, 1.0)
    file = tmp_path / plan[0].name / "run.json"
    document = json.loads(file.read_text())
    document["config"]["gamma"] = 0.9
    document["config"]["log_seconds"] = 1.0  # changes no result
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"gamma \(it was 0.9, now 0.99\)") as error:
        cells.check_settings(tmp_path, plan)
    assert "log_seconds" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base": {**TABLE["base"], "frames": 7000}}, "frames was 6000, now 7000"),
        ({"base": {**TABLE["base"], "gamma": 0.9}}, "gamma was not set, now 0.9"),
        ({"sweep": {"seeds": 2, "seed": 5}}, "seed in .sweep. was 1, now 5"),
    ],
)
def test_compare_declaration_other_base_is_refused_with_the_difference(tmp_path, change, told):
    cells.keep_declaration(
        tmp_path, parse(TABLE), '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nframes = "6k"\nthreads = 1'
    )
    with pytest.raises(InputError, match=told):
        cells.compare_declaration(tmp_path, parse(TABLE | change))


def test_compare_declaration_more_values_and_seeds_extend(tmp_path):
    cells.keep_declaration(
        tmp_path, parse(TABLE), '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nframes = "6k"\nthreads = 1'
    )
    more = TABLE | {"sweep": {"seeds": 5}, "vary": {"optimizer.lr": [1e-2]}}
    cells.compare_declaration(tmp_path, parse(more))
