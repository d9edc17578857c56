"""A search in ``asyncrl ls``: its trials may share cells, be left out, or be pruned."""

import contextlib
import os
import sqlite3

import pytest
import tomli_w

from asyncrl.store.sweeps import DECLARATION
from asyncrl.sweeping import listing
from asyncrl.sweeping.declaration import parse
from tests.sweeping.fakes import FakeExecutor, KilledError
from tests.sweeping.test_search import search
from tests.sweeping.test_search_runs import table

SHARED = table({"t_max": {"low": 5, "high": 6}}, n=6, seeds=2)


def listed(root):
    (summary,) = listing.summaries(root)
    return summary["status"], summary["finished"], summary["total"]


def train(root, executor, declared=SHARED):
    root.mkdir(exist_ok=True)
    (root / DECLARATION).write_text(tomli_w.dumps(declared))
    with contextlib.suppress(KilledError):
        search(root, executor, parse(declared))


def test_search_whose_trials_share_cells_is_finished_when_all_have_ended(tmp_path):
    train(tmp_path / "s", FakeExecutor(die_after=3))
    assert listed(tmp_path) == ("interrupted", 3, 12)
    train(tmp_path / "s", FakeExecutor())
    assert listed(tmp_path) == ("finished", 4, 4)
    (tmp_path / "s" / DECLARATION).write_text(tomli_w.dumps(SHARED | {"sweep": SHARED["sweep"] | {"n": 7}}))
    assert listed(tmp_path) == ("interrupted", 4, 14)


def test_search_with_a_failed_cell_is_failed(tmp_path):
    train(tmp_path / "s", FakeExecutor(failing=["t_max=5-s2"]))
    assert listed(tmp_path) == ("failed", 3, 4)


def endless(file):
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as database:
        rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT 1 AS state FROM n WHERE i > 2"
        database.execute(f"CREATE VIEW trials AS {rows}")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "damage",
    [endless, lambda file: file.write_text("x" * 5000), lambda file: os.truncate(file, 0)],
    ids=("endless", "text", "empty"),
)
def test_search_with_a_damaged_study_is_listed(damage, tmp_path):
    train(tmp_path / "s", FakeExecutor())
    damage(tmp_path / "s" / "study.db")
    assert listed(tmp_path) == ("interrupted", 4, 12)
