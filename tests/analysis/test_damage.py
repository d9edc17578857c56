"""Damaged rows and documents: the rest of a store is still loaded, and the damage is listed."""

import json

import pytest

from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.report.gather import Request, gather
from asyncrl.store.runs import hold
from tests.analysis.stores import lines, stamp, straight, write


def problem_texts(store, run):
    return list(store.problems.loc[store.problems["run"] == run, "text"])


@pytest.mark.parametrize(
    "bad",
    [
        "{nonsense",
        "[1, 2]",
        '{"frames": 1}',
        '{"frames": "many", "steps": 1, "updates": 1, "seconds": 1, "mean": 1, "score": 1, "worker": 0, "length": 1}',
        json.dumps(stamp(8) | {"mean": True, "score": "1", "frames_per_second": [], "worker": 0, "length": 1}),
        "\x00\xff",
        json.dumps(
            stamp(8) | {"frames": 10**400, "mean": 1, "score": 1, "worker": 0, "length": 1, "frames_per_second": 1}
        ),
    ],
)
@pytest.mark.parametrize("name", ["evaluations", "metrics", "episodes"])
def test_damaged_rows_are_excluded_and_counted(tmp_path, name, bad):
    run = write(tmp_path, "one", straight(0, 10))
    text = (run / f"{name}.jsonl").read_text().splitlines()
    (run / f"{name}.jsonl").write_text("\n".join([*text[:5], bad, *text[5:]]) + "\n")
    for _ in range(2):  # the second time from the cache
        store = load(Selection(tmp_path))
        assert list(getattr(store, name)["frames"]) == [100_000 * i for i in range(1, 11)]
        assert problem_texts(store, "one") == [f"excluded: 1 damaged row of {name}.jsonl"]


def test_row_with_wrong_types_leaves_other_rows_intact(tmp_path):
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
    assert problem_texts(store, "odd") == ["excluded: 1 damaged row of evaluations.jsonl"]


@pytest.mark.parametrize("config", [[], 3, "x"])
def test_document_with_wrong_types_gives_a_damaged_run_without_rows(tmp_path, config):
    run = write(tmp_path, "odd", [1.0])
    write(tmp_path, "sound", [1.0])
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"config": config, "provenance": config, "seconds": config}))
    store = load(Selection(tmp_path))
    assert store.runs["status"].to_dict() == {"odd": "damaged", "sound": "finished"}
    assert set(store.evaluations["run"]) == {"sound"}
    assert ["config should be a table" in text for text in problem_texts(store, "odd")] == [True]


def test_incomplete_last_row_is_a_problem_of_finished_runs_only(tmp_path):
    for name, status in (("live", "running"), ("done", "finished")):
        run = write(tmp_path, name, [1.0, 2.0], status=status)
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"frames": 12')
    with hold(tmp_path / "live"):
        store = load(Selection(tmp_path))
    assert store.metrics.groupby("run", observed=True).size().to_dict() == {"live": 2, "done": 2}
    assert problem_texts(store, "done") == ["the last row of metrics.jsonl is incomplete"]
    assert problem_texts(store, "live") == ["training is still running"]


def test_misplaced_row_leaves_other_rows_intact(tmp_path):
    run = write(tmp_path, "one", straight(0, 10))
    late = {"kind": "training", "protocol": "atari-paper-noop", "episodes": 5, "std": 0.0, "median": 9.0}
    lines(run, "evaluations", [stamp(0) | late | {"mean": 9.0}], "a")
    lines(run, "metrics", [stamp(0) | {"frames_per_second": 1.0}], "a")
    store = load(Selection(tmp_path))
    assert list(store.evaluations["mean"]) == [*straight(0, 10), 9.0]
    assert len(store.metrics) == 11


@pytest.mark.parametrize("column", ["seconds", "frames", "updates"])
def test_report_evaluations_that_go_backwards_leave_other_runs_their_curves(tmp_path, column):
    for seed in (1, 2):
        write(tmp_path, f"run{seed}", straight(0, 10), seed=seed)
    rows = [json.loads(line) for line in (tmp_path / "run1" / "evaluations.jsonl").read_text().splitlines()]
    rows[-1] |= {"frames": 4, "steps": 1} if column == "frames" else {column: 1}
    lines(tmp_path / "run1", "evaluations", rows)
    request = Request(Selection(tmp_path), tmp_path / "report")
    found = gather(request)
    assert "run2" in found.runs.index
