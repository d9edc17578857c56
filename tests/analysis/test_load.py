import json
import os
import platform

import pandas as pd
import pytest

from asyncrl.analysis import cache
from asyncrl.analysis.export import export
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.runs import hold
from tests.analysis.stores import lines, stamp, straight, write


def said(store, run):
    return list(store.problems.loc[store.problems["run"] == run, "text"])


def kinds(store):
    return dict(zip(store.problems["run"], store.problems["kind"], strict=True))


def test_settings_stand_with_a_run_and_rows_know_it(tmp_path):
    write(tmp_path, "one", straight(0, 10), env="ALE/MsPacman-v5", algo="n-step-q", threads=4, seed=7, lr=1e-3)
    store = load(Selection(tmp_path))
    run = store.runs.loc["one"]
    assert (run["game"], run["algo"], run["threads"], run["seed"], run["lr"]) == ("ms_pacman", "n-step-q", 4, 7, 1e-3)
    assert (run["budget"], run["frames"], run["seconds"], run["usable_cores"]) == (1_000_000, 1_000_000, 1000.0, 2)
    assert list(store.evaluations["mean"]) == straight(0, 10)
    assert set(store.evaluations["run"]) == set(store.metrics["run"]) == set(store.episodes["run"]) == {"one"}
    assert store.problems.empty


def test_queries_names_and_labelled_sets_choose_runs(tmp_path):
    for i, threads in enumerate((1, 2, 8)):
        write(tmp_path, f"run-{i}", [1.0], threads=threads)
    assert set(load(Selection(tmp_path, where="algo=a3c and threads>=2")).runs.index) == {"run-1", "run-2"}
    assert set(load(Selection(tmp_path, names=("run-0", str(tmp_path / "run-2")))).runs.index) == {"run-0", "run-2"}
    both = load(Selection(tmp_path, names=("run-0", "run-2"), where="threads=8")).runs
    assert list(both.index) == ["run-2"]
    sets = load(Selection(tmp_path, compare=("few: threads<2", "many: threads>=8"))).runs
    assert dict(sets["set"]) == {"run-0": "few", "run-2": "many"}


def test_conditions_and_sets_hold_for_runs_of_another_store_too(tmp_path):
    outside = write(tmp_path / "elsewhere", "outside", [1.0], threads=8)
    write(tmp_path / "results", "inside", [1.0], threads=1)
    wanted = {"results": tmp_path / "results", "names": (str(outside), "inside")}
    assert list(load(Selection(**wanted, where="threads>=8")).runs.index) == ["outside"]
    assert list(load(Selection(**wanted, where="threads<8")).runs.index) == ["inside"]
    sets = load(Selection(**wanted, compare=("many: threads>=8",))).runs
    assert dict(sets["set"]) == {"outside": "many"}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"compare": ("threads>2",)}, "LABEL: CONDITIONS"),
        ({"compare": ("a: threads>=1", "b: threads>=2")}, "one is in two sets, 'a' and 'b'"),
        ({"where": "thread>2"}, "Did you mean 'threads'"),
        ({"names": ("onn",)}, "Did you mean 'one'"),
    ],
)
def test_a_selection_that_is_none_is_refused_in_one_line(tmp_path, selection, message):
    write(tmp_path, "one", [1.0], threads=2)
    with pytest.raises(InputError, match=message) as error:
        load(Selection(tmp_path, **selection))
    assert "\n" not in str(error.value)


def test_two_runs_of_one_name_in_two_stores_are_refused(tmp_path):
    write(tmp_path / "a", "one", [1.0])
    write(tmp_path / "b", "one", [1.0])
    with pytest.raises(InputError, match="Two runs are named 'one'"):
        load(Selection(tmp_path / "a", names=("one", str(tmp_path / "b" / "one"))))


def test_live_crashed_and_damaged_runs_are_told_apart_and_named(tmp_path):
    write(tmp_path, "finished", [1.0])
    live, crashed = (write(tmp_path, name, [1.0], status="running") for name in ("live", "crashed"))
    (crashed / "lock").write_text(f"process {os.getpid()} on {platform.node()}")  # another process has its number now
    write(tmp_path, "stopped", [1.0], status="interrupted")
    (write(tmp_path, "broken", [1.0]) / "run.json").write_text("{")
    (write(tmp_path, "lost", [1.0]) / "run.json").unlink()
    (tmp_path / "notes").mkdir()
    with hold(live):
        store = load(Selection(tmp_path))
    expected = {"live": "running", "crashed": "crashed", "stopped": "interrupted", "broken": "damaged"}
    assert kinds(store) == expected | {"lost": "damaged"}
    assert dict(store.runs["status"]) == expected | {"finished": "finished"}
    assert "resume" in said(store, "crashed")[0]
    assert set(store.evaluations["run"]) == set(expected) - {"broken"} | {"finished"}


def test_a_live_run_on_another_machine_is_known_by_its_rows(tmp_path):
    run = write(tmp_path, "far", [1.0], status="running")
    (run / "lock").write_text("process 1 on elsewhere")
    assert load(Selection(tmp_path)).runs.at["far", "status"] == "running"
    for file in run.iterdir():
        os.utime(file, (1e9, 1e9))
    assert load(Selection(tmp_path)).runs.at["far", "status"] == "crashed"


def test_a_running_run_is_as_far_as_its_rows(tmp_path):
    run = write(tmp_path, "live", [1.0], status="running")
    lines(run, "metrics", [stamp(5_000_000) | {"frames_per_second": 1.0}], "a")
    assert load(Selection(tmp_path)).runs.at["live", "frames"] == 5_000_000


@pytest.mark.parametrize(
    "bad",
    [
        "{nonsense",
        "[1, 2]",
        '{"frames": 1}',
        '{"frames": "many", "steps": 1, "updates": 1, "seconds": 1, "mean": 1, "score": 1, "worker": 0, "length": 1}',
        json.dumps(stamp(8) | {"mean": None, "score": None, "frames_per_second": None, "worker": 0, "length": 1}),
        "\x00\xff",
        json.dumps(
            stamp(8) | {"frames": 10**400, "mean": 1, "score": 1, "worker": 0, "length": 1, "frames_per_second": 1}
        ),
    ],
)
@pytest.mark.parametrize("name", ["evaluations", "metrics", "episodes"])
def test_damaged_rows_are_left_out_and_counted(tmp_path, name, bad):
    run = write(tmp_path, "one", straight(0, 10))
    text = (run / f"{name}.jsonl").read_text().splitlines()
    (run / f"{name}.jsonl").write_text("\n".join([*text[:5], bad, *text[5:]]) + "\n")
    for _ in range(2):  # the second time from the cache
        store = load(Selection(tmp_path))
        assert list(getattr(store, name)["frames"]) == [100_000 * i for i in range(1, 11)]
        assert said(store, "one") == [f"excluded: 1 damaged row of {name}.jsonl"]


def test_a_row_of_another_kind_does_not_stop_the_rest(tmp_path):
    """A text where other runs have a number, a number where they have a text: as damage leaves it."""
    odd = write(tmp_path, "odd", straight(0, 10))
    write(tmp_path, "sound", straight(0, 10))
    lines(odd, "metrics", [stamp(8) | {"frames_per_second": 1.0, "entropy": "x", "completed": 3}], "a")
    lines(
        odd,
        "episodes",
        [stamp(8) | {"worker": 0, "score": 1.0, "length": 1, "completed": [1], "epsilon": 10**400}],
        "a",
    )
    lines(odd, "evaluations", [stamp(2_000_000) | {"mean": 1.0, "kind": 7, "protocol": None}], "a")
    store = load(Selection(tmp_path))
    assert len(store.evaluations) == 20
    assert list(store.metrics["entropy"].isna()).count(True) == 1
    assert said(store, "odd") == ["excluded: 1 damaged row of evaluations.jsonl"]


@pytest.mark.parametrize("config", [None, [], 3, "x"])
def test_a_document_of_another_kind_is_a_run_that_nothing_is_known_of(tmp_path, config):
    run = write(tmp_path, "odd", [1.0])
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"config": config, "provenance": config, "seconds": config}))
    assert load(Selection(tmp_path, where="status=finished")).runs["algo"].isna().all()


def test_a_half_written_last_row_is_normal_in_a_live_run_and_named_in_a_finished_one(tmp_path):
    for name, status in (("live", "running"), ("done", "finished")):
        run = write(tmp_path, name, [1.0, 2.0], status=status)
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"frames": 12')
    with hold(tmp_path / "live"):
        store = load(Selection(tmp_path))
    assert store.metrics.groupby("run", observed=True).size().to_dict() == {"live": 2, "done": 2}
    assert said(store, "done") == ["the last row of metrics.jsonl is incomplete"]
    assert said(store, "live") == ["training is still running"]


def test_a_misplaced_row_takes_no_other_with_it(tmp_path):
    run = write(tmp_path, "one", straight(0, 10))
    late = {"kind": "training", "protocol": "atari-paper-noop", "episodes": 5, "std": 0.0, "median": 9.0}
    lines(run, "evaluations", [stamp(0) | late | {"mean": 9.0}], "a")
    lines(run, "metrics", [stamp(0) | {"frames_per_second": 1.0}], "a")
    store = load(Selection(tmp_path))
    assert list(store.evaluations["mean"]) == [*straight(0, 10), 9.0]
    assert len(store.metrics) == 11


def test_seeds_are_told_apart_to_their_last_digit(tmp_path):
    for seed in (2**60, 2**60 + 1):
        write(tmp_path, str(seed), [1.0], seed=seed)
    assert set(load(Selection(tmp_path)).runs["seed"]) == {2**60, 2**60 + 1}


def test_an_empty_store_and_no_store_give_empty_tables(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        store = load(Selection(root))
        assert all(getattr(store, name).empty for name in store._fields)
        assert {"game", "algo", "status"} <= set(store.runs.columns)


def test_a_compact_copy_is_made_of_finished_runs_alone_and_of_their_latest_rows(tmp_path):
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


def test_a_copy_is_what_is_read_and_a_broken_one_is_not(tmp_path, monkeypatch):
    write(tmp_path, "done", straight(0, 10))
    load(Selection(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "parse_rows", lambda *_: pytest.fail("the JSON lines were parsed"))
        assert len(load(Selection(tmp_path)).metrics) == 10
    for copy in (tmp_path / cache.FOLDER).iterdir():
        copy.write_bytes(copy.read_bytes()[:100])
    assert len(load(Selection(tmp_path)).metrics) == 10


def test_a_store_that_cannot_be_written_to_is_read(tmp_path):
    write(tmp_path, "done", straight(0, 10))
    (tmp_path / cache.FOLDER).write_text("in the way")
    assert len(load(Selection(tmp_path)).metrics) == 10


def test_thinned_metrics_are_means_of_blocks_with_the_stamps_of_their_ends(tmp_path):
    run = write(tmp_path, "one", [1.0])
    lines(run, "metrics", [stamp(4 * i) | {"frames_per_second": float(i)} for i in range(1, 101)])
    metrics = load(Selection(tmp_path), max_metric_rows=10).metrics
    assert list(metrics["frames"]) == [40 * i for i in range(1, 11)]
    assert list(metrics["frames_per_second"]) == [10 * i + 5.5 for i in range(10)]


@pytest.mark.parametrize(("form", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_an_export_reads_back_as_what_was_loaded(tmp_path, form, read):
    write(tmp_path / "store", "one", straight(0, 10), threads=4)
    write(tmp_path / "store", "two", straight(0, 20), env="CartPole-v1", protocol="gymnasium", status="failed")
    written = dict(export(Selection(tmp_path / "store"), tmp_path / "out", form))
    assert {file.stem: rows for file, rows in written.items()} == {
        "runs": 2, "evaluations": 20, "metrics": 20, "episodes": 20, "failures": 0, "problems": 1
    }  # fmt: skip
    runs = read(tmp_path / "out" / f"runs.{form}").set_index("id")
    assert (runs.at["one", "threads"], runs.at["two", "env"]) == (4, "CartPole-v1")
    evaluations = read(tmp_path / "out" / f"evaluations.{form}")
    assert list(evaluations.loc[evaluations["run"] == "two", "mean"]) == straight(0, 20)


def test_a_selection_of_nothing_says_what_had_to_hold_together(tmp_path):
    write(tmp_path, "one", [1.0])
    selection = Selection(tmp_path, where="threads=99", compare=("a: algo=a2c", "b: algo=a3c"))
    with pytest.raises(InputError, match="has threads=99 and is in 'a: algo=a2c' or 'b: algo=a3c'"):
        export(selection, tmp_path / "out", "csv")
    with pytest.raises(InputError, match="No run that was named has threads=99"):
        export(Selection(tmp_path, names=("one",), where="threads=99"), tmp_path / "out", "csv")


@pytest.mark.parametrize(
    ("where", "form", "message"),
    [(None, "xls", "parquet or csv"), ("threads=99", "csv", "No run in .* has threads=99"), (None, "csv", "no runs")],
)
def test_an_export_of_nothing_is_refused(tmp_path, where, form, message):
    if where:
        write(tmp_path, "one", [1.0])
    with pytest.raises(InputError, match=message):
        export(Selection(tmp_path, where=where), tmp_path / "out", form)
    assert not (tmp_path / "out").exists()
