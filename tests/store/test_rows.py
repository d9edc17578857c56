import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from asyncrl.errors import InputError
from asyncrl.store.document import read_document
from asyncrl.store.rows import Writer, cut, read_rows

ROWS = [{"frames": 4 * i, "score": i / 3, "text": "é\n" * i} for i in range(5)]


@pytest.fixture
def run(tmp_path):
    with Writer(tmp_path) as writer:
        for row in ROWS:
            writer.append("episodes", row)
    return tmp_path


def test_rows_come_back_in_order_one_a_line(run):
    assert read_rows(run, "episodes") == ROWS
    assert (run / "episodes.jsonl").read_bytes().count(b"\n") == len(ROWS)
    assert read_rows(run, "metrics") == []


def test_a_row_can_be_read_as_soon_as_it_is_appended(tmp_path):
    with Writer(tmp_path) as writer:
        for row in ROWS:
            writer.append("metrics", row)
            assert read_rows(tmp_path, "metrics")[-1] == row


def test_numbers_are_stored_as_json_has_them(tmp_path):
    nested = [np.float32("inf"), {"deep": -np.inf}]
    row = {"nan": float("nan"), "in": nested, "n": np.int64(3), "a": np.ones(2), 1: (True,)}
    with Writer(tmp_path) as writer:
        writer.append("metrics", row)
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "nan": "NaN", "in": ["Infinity", {"deep": "-Infinity"}], "n": 3, "a": [1.0, 1.0], "1": [True]
    }  # fmt: skip


def test_a_tail_cut_anywhere_loses_one_row_and_the_next_append_repairs_it(run):
    path = run / "episodes.jsonl"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        kept = ROWS[: whole[:size].count(b"\n")]
        assert read_rows(run, "episodes") == kept
        with Writer(run) as writer:
            writer.append("episodes", {"new": size})
        assert read_rows(run, "episodes") == [*kept, {"new": size}]
        assert path.read_bytes().endswith(b"\n")


def test_a_tail_longer_than_a_block_is_repaired(run):
    path = run / "episodes.jsonl"
    with path.open("ab") as file:
        file.write(b'{"torn": "' + b"x" * 200_000)
    with Writer(run) as writer:
        writer.append("episodes", {"new": 1})
    assert read_rows(run, "episodes") == [*ROWS, {"new": 1}]


@pytest.mark.parametrize("torn", [b"{", b"[1]", b"3", b"\xff", b"", b"[" * 100_000, b"\x80\x04."])
def test_a_damaged_row_in_the_middle_is_left_out(run, torn):
    path = run / "episodes.jsonl"
    path.write_bytes(torn + b"\n" + path.read_bytes())
    assert read_rows(run, "episodes") == ROWS


APPEND_FOR_EVER = """
import sys
from pathlib import Path
from asyncrl.store.rows import Writer
with Writer(Path(sys.argv[1])) as writer:
    for i in range(10**9):
        writer.append("metrics", {"i": i, "text": "x" * (i * 7919 % 20_000)})
        writer.update_document(i=i)
        print(i, flush=True)
"""


def test_sigkill_while_appending_loses_at_most_the_row_being_written(tmp_path, faults):
    fault = "SIGKILL while rows are appended"
    for kill in range(faults.times(4, 100)):
        faults.inject(fault)
        (run := tmp_path / str(kill)).mkdir()
        child = subprocess.Popen([sys.executable, "-c", APPEND_FOR_EVER, str(run)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.013 * (kill % 20))
        child.send_signal(signal.SIGKILL)
        *_, last = ["0", *child.stdout.read().split("\n")[:-1]]
        child.wait()
        rows = [row["i"] for row in read_rows(run, "metrics")]
        assert rows == list(range(len(rows)))
        assert len(rows) > int(last)
        assert int(last) <= read_document(run)["i"] <= len(rows)
        with Writer(run) as writer:
            writer.append("metrics", {"i": len(rows)})
        assert [row["i"] for row in read_rows(run, "metrics")] == list(range(len(rows) + 1))
        faults.survive(fault)


def test_two_processes_may_append_to_one_file(tmp_path):
    code = APPEND_FOR_EVER.replace("10**9", "200").replace("writer.update_document(i=i)", "pass")
    command = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert sorted(row["i"] for row in read_rows(tmp_path, "metrics")) == sorted([*range(200)] * 2)


def test_an_append_waits_for_the_one_before_it(run):
    with (run / "episodes.jsonl").open("ab", buffering=0) as other, Writer(run) as writer:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b'{"half": ')
        thread = threading.Thread(target=writer.append, args=("episodes", {"new": 1}))
        thread.start()
        thread.join(0.1)
        other.write(b"1}\n")
        fcntl.flock(other, fcntl.LOCK_UN)
        thread.join()
    assert read_rows(run, "episodes") == [*ROWS, {"half": 1}, {"new": 1}]


def test_rows_later_than_a_step_are_cut_and_who_holds_the_file_open_appends_to_the_new_one(tmp_path):
    with Writer(tmp_path) as writer:
        for step in (100, 300, 200, 201, 400):
            writer.append("episodes", {"steps": step, "text": "é"})
        writer.append("evaluations", {"steps": 300, "kind": "eval"})
        writer.append("evaluations", {"steps": 300, "kind": "training"})
        cut(tmp_path, "evaluations", 200)
        cut(tmp_path, "episodes", 200)
        cut(tmp_path, "metrics", 200)
        assert [row["steps"] for row in read_rows(tmp_path, "episodes")] == [100, 200]
        writer.append("episodes", {"steps": 210})
    assert [row["steps"] for row in read_rows(tmp_path, "episodes")] == [100, 200, 210]
    assert [row["kind"] for row in read_rows(tmp_path, "evaluations")] == ["eval"]
    assert sorted(os.listdir(tmp_path)) == ["episodes.jsonl", "evaluations.jsonl"]


FILL = """
import json, resource, sys
from pathlib import Path
from asyncrl.store.rows import Writer
run = Path(sys.argv[1])
with Writer(run) as writer:
    writer.update_document(status="running")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    for i in range(100):
        try:
            writer.append("metrics", {"i": i, "text": "x" * 70})
        except OSError:
            break
    try:
        writer.update_document(text="x" * 2000)
    except OSError:
        print(i)
"""


def test_a_full_disk_is_reported_and_leaves_whole_rows(tmp_path):
    child = subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=True)
    refused = int(child.stdout)
    assert 0 < refused < 20
    assert [row["i"] for row in read_rows(tmp_path, "metrics")] == list(range(refused))
    assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"\n")
    assert read_document(tmp_path) == {"format": 1, "status": "running"}
    assert sorted(os.listdir(tmp_path)) == ["metrics.jsonl", "run.json"]


def test_the_document_is_merged(tmp_path):
    with Writer(tmp_path) as writer:
        writer.update_document(id="x", status="running", spec=(1,))
        writer.update_document(status="finished", seconds=np.float64("nan"))
    assert read_document(tmp_path) == {"format": 1, "id": "x", "status": "finished", "spec": [1], "seconds": "NaN"}
    with Writer(tmp_path) as writer:
        writer.update_document(status="running")
    assert read_document(tmp_path)["id"] == "x"


def test_a_damaged_document_is_never_written_over(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with Writer(tmp_path) as writer, pytest.raises(InputError, match="damaged"):
        writer.update_document(status="finished")
    assert (tmp_path / "run.json").read_text() == "{"


def test_files_have_the_modes_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with Writer(tmp_path) as writer:
            writer.update_document(status="running")
            writer.append("metrics", {})
    finally:
        os.umask(old)
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o640"}
