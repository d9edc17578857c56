"""A damaged run is named with its reason, a bad row is left out and counted, and other runs are unharmed."""

import errno
import json
import os
import shutil

import pytest

from asyncrl.cli.app import main
from asyncrl.errors import InputError
from asyncrl.store import query, runs, summary
from asyncrl.store.columns import COLUMNS
from asyncrl.store.rows import cut, read_rows, valid_rows
from asyncrl.system.files import open_regular, read_regular
from tests.past import make_run

pytestmark = pytest.mark.timeout(60)
OTHERS = {
    "directory": (lambda path: path.mkdir(), "it is a directory, not a file"),
    "FIFO": (lambda path: os.mkfifo(path), "it is a FIFO, not a file"),
    "link": (lambda path: path.symlink_to("/etc/passwd"), "it is a link, not a file"),
    "sparse": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "it has more than .* bytes"),
}


def replace(path, kind):
    path.unlink(missing_ok=True)
    OTHERS[kind][0](path)


def invoke(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["run.json", "episodes.jsonl", "metrics.jsonl", "evaluations.jsonl", "failures.jsonl"])
def test_run_with_something_else_in_a_files_place_is_damaged_and_named(tmp_path, capsys, name, kind):
    make_run(tmp_path, "good")
    replace(make_run(tmp_path, "bad") / name, kind)
    listed = {run["id"]: run for run in summary.summaries(tmp_path, None)}
    assert (listed["good"]["status"], listed["bad"]["status"]) == ("finished", "damaged")
    code, out, _ = invoke(capsys, "ls", "--results", tmp_path)
    assert code == 0
    assert f"bad: Cannot read {tmp_path / 'bad' / name}: it " in out
    for command in ("show", "resume", "eval"):
        code, out, err = invoke(capsys, command, "bad", "--results", tmp_path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        with pytest.raises(InputError, match=OTHERS[kind][1]):
            raise InputError(err)


def test_ls_run_without_document_is_listed_as_damaged(tmp_path, capsys):
    make_run(tmp_path, "good")
    (make_run(tmp_path, "lost") / "run.json").unlink()
    (tmp_path / "notes").mkdir()
    code, out, _ = invoke(capsys, "ls", "--results", tmp_path)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["run", "good", "lost", "lost:"]
    assert "it has no run.json" in out


def test_select_run_that_is_removed_after_listing_is_left_out(tmp_path, monkeypatch):
    make_run(tmp_path, "good")
    gone = make_run(tmp_path, "gone")
    list_runs = runs.list_runs

    def list_and_remove(root):
        found = list_runs(root)
        shutil.rmtree(gone)
        return found

    monkeypatch.setattr(query, "list_runs", list_and_remove)
    assert [run["id"] for run in summary.summaries(tmp_path, None)] == ["good"]


BAD_ROWS = [
    "{}",
    "[1, 2]",
    "7",
    "null",
    "\x00\x01",
    '{"frames": 1}',
    '{"frames": "1", "steps": 1, "worker": 1, "score": 1, "length": 1}',
    '{"frames": 1, "steps": -1, "worker": 1, "score": 1, "length": 1}',
    '{"frames": 1, "steps": 1, "worker": true, "score": 1, "length": 1}',
    '{"frames": 1, "steps": 1, "worker": 1, "score": "high", "length": 1}',
    '{"frames": 1e999, "steps": 1, "worker": 1, "score": 1, "length": 1}',
    '{"frames": 1, "steps": 1.5, "worker": 1, "score": 1, "length": 1}',
    "[" * 100_000,
    '{"a":' * 40 + "1" + "}" * 40,
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=range(len(BAD_ROWS)))
def test_show_bad_row_is_left_out_and_counted(tmp_path, capsys, bad):
    run = make_run(tmp_path, "one")
    with (run / "episodes.jsonl").open("a") as file:
        file.write(f"{bad}\n")
    found = valid_rows(run, "episodes")
    assert (len(found.rows), found.damaged) == (4, 1)
    code, out, _ = invoke(capsys, "show", "one", "--results", tmp_path)
    assert code == 0
    assert "1 of episodes.jsonl" in out


def test_valid_rows_optional_column_of_wrong_type_has_its_default(tmp_path):
    row = {"frames": 4.0, "steps": 1, "worker": 0, "score": 1.5, "length": 1, "completed": 3, "epsilon": "x"}
    (tmp_path / "episodes.jsonl").write_text(json.dumps(row | {"new": [1], "other": 2}) + "\n")
    ((found,), damaged) = valid_rows(tmp_path, "episodes")
    assert damaged == 0
    assert found == row | {"frames": 4, "updates": None, "seconds": None} | {
        "completed": None, "epsilon": None, "new": None, "other": 2
    }  # fmt: skip


OPTIONAL = [(file, name) for file in COLUMNS for name, column in COLUMNS[file].items() if not column.is_required]


@pytest.mark.parametrize(("file", "name"), OPTIONAL)
def test_show_row_whose_optional_column_is_wrong_is_shown_without_it(tmp_path, capsys, file, name):
    run = make_run(tmp_path, "one")
    path = run / f"{file}.jsonl"
    rows = read_rows(run, file) or [{"reason": "a reason", "frames": 1}]
    path.write_text("".join(json.dumps(row | {name: {"wrong": 1}}) + "\n" for row in rows))
    for command in ("show", "ls"):
        code, out, err = invoke(capsys, command, *["one"] * (command == "show"), "--results", tmp_path)
        assert (code, err) == (0, "")
        assert "finished" in out


def test_valid_rows_long_text_is_cut(tmp_path):
    row = {"frames": 1, "reason": "x" * 1_000_000, "traceback": "y" * 1_000_000}
    (tmp_path / "failures.jsonl").write_text(json.dumps(row) + "\n")
    ((found,), _) = valid_rows(tmp_path, "failures")
    assert len(found["reason"]) == len(found["traceback"]) == 20_000


@pytest.mark.parametrize("steps", ['"300"', "[300]", "null", "1e999", "{}"])
def test_cut_row_with_unusable_steps_does_not_stop_it(tmp_path, steps):
    (tmp_path / "episodes.jsonl").write_text(f'{{"steps": 100}}\n{{"steps": {steps}}}\n{{"steps": 300}}\n')
    cut(tmp_path, "episodes", 200)
    assert read_rows(tmp_path, "episodes")[0]["steps"] == 100
    assert 300 not in [row["steps"] for row in read_rows(tmp_path, "episodes")]


@pytest.mark.parametrize("kind", ["directory", "FIFO", "link"])
def test_lock_of_another_kind_does_not_block_and_is_set_aside(tmp_path, kind):
    run = make_run(tmp_path, "one", status="running")
    replace(run / "lock", kind)
    assert not runs.is_held(run)
    assert [each["id"] for each in summary.summaries(tmp_path, None)] == ["one"]
    with runs.hold(run):
        assert runs.is_held(run)
    assert len(list(run.glob("lock.set-aside-*"))) == 1


def test_show_lock_with_binary_content_is_no_error(tmp_path):
    run = make_run(tmp_path, "one", status="running")
    (run / "lock").write_bytes(b"\xff\x00" * 1_000)
    assert summary.details(run)["status"] == "running"


def test_read_regular_more_bytes_than_the_limit_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(tmp_path / "file", 4)


def test_open_regular_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        open_regular(tmp_path / "file")
    assert caught.value.errno == errno.ENOENT
