import os

import pandas as pd
import pytest

from asyncrl.analysis import cache
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import straight, write


def test_cache_of_finished_runs_only_follows_their_latest_rows(tmp_path):
    run = write(tmp_path, "done", straight(0, 10))
    write(tmp_path, "stopped", [1.0], status="interrupted")
    first = load(Selection(tmp_path))
    copies = {path.name for path in (tmp_path / cache.FOLDER).iterdir()}
    assert copies == {f"done.{name}.arrow" for name in ("evaluations", "metrics", "episodes")}
    again = load(Selection(tmp_path))
    for name in first._fields:
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    rows = (run / "episodes.jsonl").read_text().replace('"score": 1.0', '"score": 2.0')
    (run / "episodes.jsonl").write_text(rows)
    os.utime(run / "episodes.jsonl", (2e9, 2e9))
    episodes = load(Selection(tmp_path)).episodes
    assert set(episodes.loc[episodes["run"] == "done", "score"]) == {2.0}


def test_cache_file_is_read_unless_it_is_damaged(tmp_path, monkeypatch):
    write(tmp_path, "done", straight(0, 10))
    load(Selection(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "parse_rows", lambda *_: pytest.fail("the JSON lines were parsed"))
        assert len(load(Selection(tmp_path)).metrics) == 10
    for copy in (tmp_path / cache.FOLDER).iterdir():
        copy.write_bytes(copy.read_bytes()[:100])
    assert len(load(Selection(tmp_path)).metrics) == 10


def test_load_without_writable_cache_reads_the_json_lines(tmp_path):
    write(tmp_path, "done", straight(0, 10))
    (tmp_path / cache.FOLDER).write_text("in the way")
    assert len(load(Selection(tmp_path)).metrics) == 10
