import json
import math
import os
import shutil
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from asyncrl.analysis.load import load
from asyncrl.analysis.published import publish
from asyncrl.analysis.selection import Selection
from asyncrl.report.gather import Request, gather
from tests.analysis.stores import lines, stamp, straight, write

FILES = ("runs", "evaluations", "metrics", "episodes")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A sweep with runs of two methods, one with damage and numbers that are not finite, one that failed; published."""
    folder = tmp_path_factory.mktemp("made")
    root = folder / "rates"
    for algo in ("a3c", "n-step-q"):
        for seed in (1, 2):
            write(root, f"{algo}-s{seed}", straight(-20, 5 + seed), algo=algo, seed=seed, fps=500.0, preset="fast")
    write(root, "failed", straight(-20, 1), seed=9, status="failed")
    (root / "sweep.toml").write_text("")
    rows = [stamp(4 * i) | {"frames_per_second": 500.0, "entropy": math.nan if i == 7 else i} for i in range(1, 501)]
    with (root / "a3c-s1" / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps(row).replace("NaN", '"NaN"') + "\n" for row in rows)
        file.write("{damage\n")
    game = {"worker": 0, "length": 10, "epsilon": None, "completed": True}
    lines(root / "a3c-s1", "episodes", [stamp(4 * i) | game | {"score": float(i)} for i in range(1, 1001)])
    assert len(list(publish(Selection(root), folder / "published"))) == len(FILES)
    return folder


@pytest.fixture
def sweep(made, tmp_path):
    """Return a copy of the sweep."""
    return shutil.copytree(made / "rates", tmp_path / "results" / "rates")


@pytest.fixture
def published(made, tmp_path):
    """Return a copy of the published sweep."""
    return shutil.copytree(made / "published", tmp_path / "published" / "rates")


@pytest.fixture
def asyncrl(tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    return command_line


def test_published_sweep_has_the_tables_of_its_report(sweep, published, tmp_path):
    of_runs, of_files = (gather(Request(Selection(root), tmp_path / "report")) for root in (sweep, published))
    assert [section.name for section in of_runs.sections] == [section.name for section in of_files.sections]
    for ours, theirs in zip(of_runs.sections, of_files.sections, strict=True):
        if ours.table:
            left, right = (each.table.data.drop(columns="path", errors="ignore") for each in (ours, theirs))
            pd.testing.assert_frame_equal(left, right, check_dtype=False, check_like=True, obj=ours.name)
        if ours.figure:
            pd.testing.assert_frame_equal(ours.figure.data, theirs.figure.data, check_dtype=False, obj=ours.name)
    assert of_runs.notes == of_files.notes


@pytest.mark.parametrize("name", FILES)
def test_published_table_names_the_settings_of_each_row(published, name):
    table = pyarrow.parquet.read_table(published / f"{name}.parquet").to_pandas()
    assert set(table["id"]) >= {"a3c-s1", "n-step-q-s2"}
    row = table[table["id"] == "n-step-q-s2"].iloc[0]
    assert [row[each] for each in ("env", "algo", "threads", "clock", "preset")] == [
        "pong",
        "n-step-q",
        2,
        "wall",
        "fast",
    ]


def test_published_episodes_are_means_of_bins_of_equal_frames(published):
    table = pyarrow.parquet.read_table(published / "episodes.parquet").to_pandas()
    rows = table[table["id"] == "a3c-s1"]
    assert len(rows) == 200
    assert rows["episodes"].tolist() == [5] * 200
    assert rows["score"].tolist() == [3.0 + 5 * i for i in range(200)]
    assert rows["frames"].tolist() == [4 * 5 * i for i in range(1, 201)]


def test_published_metrics_have_200_rows_a_run_at_most(published):
    counts = pyarrow.parquet.read_table(published / "metrics.parquet").to_pandas().groupby("id").size()
    assert (counts["a3c-s1"], counts["a3c-s2"]) == (200, 10)


def test_ls_of_published_sweeps_is_one_line_each_and_its_runs_by_name(published, asyncrl):
    code, out, _ = asyncrl("ls", "--results", str(published.parent))
    assert (code, out.splitlines()[1].split()[:7]) == (0, ["rates", "published", "5", "4", "0", "1", "failed"])
    runs = json.loads(
        asyncrl("ls", "rates", "--where", "algo=a3c and seed<=2", "--json", "--results", str(published.parent))[1]
    )
    assert {run["id"]: (run["evaluation"], run["best"], run["status"]) for run in runs} == {
        "a3c-s1": (6, 6, "finished"),
        "a3c-s2": (7, 7, "finished"),
    }


def test_export_compact_of_a_sweep_writes_four_files(sweep, asyncrl, tmp_path):
    code, out, err = asyncrl("export", "--compact", "--results", str(sweep), "--out", str(tmp_path / "compact"))
    assert (code, err) == (0, "")
    assert {file.stem for file in (tmp_path / "compact").iterdir()} == set(FILES)
    assert len(out.splitlines()) == len(FILES)


def test_export_of_a_published_sweep_writes_its_tables(published, asyncrl, tmp_path):
    code, _, err = asyncrl("export", "--results", str(published), "--out", str(tmp_path / "flat"), "--format", "csv")
    assert (code, err) == (0, "")
    assert len(pd.read_csv(tmp_path / "flat" / "evaluations.csv")) == 50
    code, _, err = asyncrl("export", "--compact", "--results", str(published), "--out", str(tmp_path / "again"))
    assert (code, err) == (0, "")
    for name in FILES:
        first, second = (
            pyarrow.parquet.read_table(each / f"{name}.parquet") for each in (published, tmp_path / "again")
        )
        pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas(), check_like=True, check_dtype=False)


def test_show_published_run_is_one_line(published, asyncrl):
    code, _, err = asyncrl("show", "rates/a3c-s1", "--results", str(published.parent))
    assert (code, err.count("\n")) == (2, 1)
    assert "is a published sweep" in err


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["text", "cut", "foreign", "nested", "fifo", "missing"])
def test_damaged_table_is_a_problem_and_no_traceback(published, asyncrl, tmp_path, name, damage):
    file = published / f"{name}.parquet"
    data = file.read_bytes()
    file.unlink()
    if damage == "text":
        file.write_text("not parquet")
    elif damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "foreign":
        pyarrow.parquet.write_table(pa.table({"x": [1, 2], "run": ["a", "b\x1b[31m"]}), file)
    elif damage == "nested":
        pyarrow.parquet.write_table(pa.table({each: [[1]] for each in ("id", "run", "frames", "setting")}), file)
    elif damage == "fifo":
        os.mkfifo(file)
    write(tmp_path / "published", "alone", straight(1, 2))
    code, out, err = asyncrl("ls", "--results", str(published.parent))
    assert (code, err) == (0, "")
    assert "alone" in out
    assert "\x1b" not in out
    if name == "runs" and damage == "missing":
        return  # without it, this is no published sweep
    tables = load(Selection(published))
    assert tables.problems["text"].str.contains(f"{name}.parquet", regex=False).sum() == 1
    assert ("damaged" in out) == (name == "runs")


def test_damaged_run_of_a_published_sweep_costs_itself(published):
    table = pyarrow.parquet.read_table(published / "runs.parquet").to_pandas()
    table.loc[table["id"] == "a3c-s1", "setting"] = '[{"threads": "many\\u001b"}]'
    pyarrow.parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), published / "runs.parquet")
    tables = load(Selection(published))
    assert tables.runs["status"].to_dict()["a3c-s1"] == "damaged"
    assert len(tables.runs) == 5
    assert not tables.problems["text"].str.contains("\x1b").any()


def test_rows_with_wrong_numbers_are_left_out_and_counted(published):
    table = pyarrow.parquet.read_table(published / "evaluations.parquet").to_pandas()
    table.loc[0, "frames"] = -4
    pyarrow.parquet.write_table(pa.Table.from_pandas(table, preserve_index=False), published / "evaluations.parquet")
    tables = load(Selection(published))
    assert len(tables.evaluations) == 49
    assert tables.problems["text"].str.contains("1 damaged row of evaluations.parquet").sum() == 1


def test_compact_of_a_running_run_is_refused_and_writes_nothing(tmp_path, asyncrl):
    write(tmp_path / "results", "now", straight(1, 2), status="running")
    code, _, err = asyncrl("export", "--compact", "--out", "published")
    assert (code, err.count("\n")) == (2, 1)
    assert "still running" in err
    assert not (tmp_path / "published").exists()


def test_compact_into_the_directory_of_a_sweep_is_refused(sweep, asyncrl):
    code, _, err = asyncrl("export", "--compact", "--results", str(sweep), "--out", str(sweep))
    assert (code, err.count("\n")) == (2, 1)
    assert not (sweep / "runs.parquet").exists()


def test_ls_without_a_published_sweep_imports_no_table_library(sweep):
    code = "import sys; from asyncrl.cli.app import main\ntry: main(['ls', '--results', sys.argv[1]])\n"
    code += "finally: print({'pandas', 'pyarrow', 'torch', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, str(sweep.parent)], capture_output=True, text=True, timeout=60)
    assert "rates" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
