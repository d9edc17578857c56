import os
import platform

import pytest

from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.store.runs import hold
from tests.analysis.stores import lines, stamp, straight, write


def problem_texts(store, run):
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
    expected |= {"lost": "damaged"}
    assert kinds(store) == expected
    assert dict(store.runs["status"]) == expected | {"finished": "finished"}
    assert "resume" in problem_texts(store, "crashed")[0]
    assert set(store.evaluations["run"]) == set(expected) - {"broken", "lost"} | {"finished"}


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


def test_seeds_are_told_apart_to_their_last_digit(tmp_path):
    for seed in (2**60, 2**60 + 1):
        write(tmp_path, str(seed), [1.0], seed=seed)
    assert set(load(Selection(tmp_path)).runs["seed"]) == {2**60, 2**60 + 1}


def test_an_empty_store_and_no_store_give_empty_tables(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        store = load(Selection(root))
        assert all(getattr(store, name).empty for name in store._fields)
        assert {"game", "algo", "status"} <= set(store.runs.columns)


def test_downsampled_metrics_are_block_means_with_the_counters_of_the_last_row(tmp_path):
    run = write(tmp_path, "one", [1.0])
    lines(run, "metrics", [stamp(4 * i) | {"frames_per_second": float(i)} for i in range(1, 101)])
    metrics = load(Selection(tmp_path), max_metric_rows=10).metrics
    assert list(metrics["frames"]) == [40 * i for i in range(1, 11)]
    assert list(metrics["frames_per_second"]) == [10 * i + 5.5 for i in range(10)]
