"""Scores and statistics that are NaN, infinite or huge: kept apart, named, and in no mean of other runs."""

import csv
import json
import math

import pandas as pd
import pytest

from asyncrl.analysis import scores, series, tables, validity
from asyncrl.analysis.export import export
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import lines, stamp, straight, write

STORED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, 1e308: 1e308}
BAD = pytest.mark.parametrize("bad", STORED)


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


def texts(found, kind):
    return list(found.problems.loc[found.problems["kind"] == kind, "text"])


def same(value, expected):
    return value == expected or (math.isnan(value) and math.isnan(expected))


@BAD
def test_a_run_whose_last_evaluation_is_unusable_leaves_the_mean_of_the_others(tmp_path, bad):
    write(tmp_path, "good", straight(0, 10))
    write(tmp_path, "better", straight(0, 20), seed=2)
    write(tmp_path, "bad", [*straight(0, 10)[:-1], bad], seed=3)
    found = comparison(tmp_path)
    assert tables.overview(scores.run_scores(found)).loc[0, ["runs", "final"]].tolist() == [2, 15.0]
    (text,) = texts(found, validity.SCORES)
    assert "excluded from all scores: 1 of 10 evaluations" in text
    assert f"({STORED[bad]:g})" in text
    curve = series.learning_curves(found, "frames")
    assert set(curve["runs"]) == {2}
    assert curve["y"].notna().all()


@BAD
def test_an_unusable_evaluation_within_a_run_is_named_and_is_not_its_best(tmp_path, bad):
    write(tmp_path, "one", [1.0, bad, 3.0, 2.0])
    found = comparison(tmp_path)
    assert scores.run_scores(found).loc["one", ["final", "best"]].tolist() == [2.0, 3.0]
    (text,) = texts(found, validity.SCORES)
    assert "in part from curves and best scores: 1 of 4" in text


@pytest.mark.parametrize("form", ["csv", "parquet"])
@BAD
def test_an_export_keeps_nan_and_both_infinities_apart(tmp_path, bad, form):
    run = write(tmp_path / "store", "one", [1.0, bad])
    game = {"worker": 0, "length": 100, "epsilon": None, "completed": True}
    lines(run, "episodes", [stamp(8) | game | {"score": bad}, stamp(16) | game | {"score": 2.0}])
    lines(run, "metrics", [stamp(8) | {"frames_per_second": 9.0, "loss": bad}, stamp(16) | {"frames_per_second": bad}])
    export(Selection(tmp_path / "store"), tmp_path / "out", form)
    read = pd.read_csv if form == "csv" else pd.read_parquet
    for table, column, row in (("evaluations", "mean", 1), ("episodes", "score", 0), ("metrics", "loss", 0)):
        assert same(read(tmp_path / "out" / f"{table}.{form}")[column][row], STORED[bad])


def test_a_score_of_nan_is_no_empty_cell_in_csv(tmp_path):
    run = write(tmp_path / "store", "one", [1.0])
    lines(run, "episodes", [stamp(8) | {"worker": 0, "length": 1, "epsilon": None, "score": "NaN"}])
    export(Selection(tmp_path / "store"), tmp_path / "out", "csv")
    with (tmp_path / "out" / "episodes.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["score"], row["epsilon"]) == ("nan", "")


def test_a_score_of_null_as_the_first_release_wrote_it_is_nan(tmp_path):
    run = write(tmp_path, "one", [1.0, 2.0])
    lines(run, "episodes", [stamp(8) | {"worker": 0, "length": 1, "score": value} for value in (None, 1.0)])
    store = load(Selection(tmp_path))
    assert store.episodes["score"].isna().tolist() == [True, False]
    assert "1 row of 2 in episodes.jsonl have a score" in store.problems["text"].item()


def test_statistics_of_training_leave_out_and_count_what_is_not_finite(tmp_path):
    run = write(tmp_path, "one", straight(0, 1))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for i, bad in enumerate(STORED, 1):
        rows[i]["entropy"] = bad
    lines(run, "metrics", rows)
    found = comparison(tmp_path)
    drawn = series.training_statistics(found)
    entropy = drawn[drawn["panel"].str.endswith("entropy")]
    assert (len(entropy), entropy["y"].max()) == (6, 1.5)
    assert "3 rows of 10 in metrics.jsonl have a entropy" in texts(found, "not finite")[0]
