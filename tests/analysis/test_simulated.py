"""Runs in simulated time beside real ones, in series, tables and reports."""

import json

import pytest

from asyncrl.analysis import load, scores, series, speed, staleness, tables, validity
from asyncrl.analysis.selection import Selection
from asyncrl.report.figure_parts import clock_notes
from asyncrl.store.document import read_document
from tests.analysis.stores import straight, write

COSTS = {"pull": {"base": 1.0}}


def compared(root, **more):
    return validity.build_comparison(load.load(Selection(root, **more)))


def change(run, **entries):
    """Replace entries of a run's document."""
    (run / "run.json").write_text(json.dumps(read_document(run) | entries))


def simulated(root, name, threads=2, costs=None, turns=False, **settings):
    """Write a simulated run whose frames per second grow with its threads."""
    run = write(root, name, straight(-20, 5), threads=threads, fps=1_000.0 * threads, clock="simulated", **settings)
    change(run, clock="simulated", costs=costs or COSTS, turns=turns)
    return run


def test_simulated_and_real_runs_are_never_on_one_line(tmp_path):
    write(tmp_path, "real", straight(-20, 5))
    simulated(tmp_path, "simulated", seed=2)
    for more in ({}, {"compare": ("mine: algo=a3c",)}):
        found = compared(tmp_path, **more)
        for unit in ("frames", "hours"):
            curves = series.learning_curves(found, unit)
            assert curves["series"].nunique() == 2
            assert set(curves["runs"]) == {1}
        assert found.runs["machine"].to_dict() == {"real": "A CPU, 2 cores", "simulated": "simulated time"}


def test_simulated_checkpoints_and_costs_are_part_of_the_setting(tmp_path):
    simulated(tmp_path, "one", seed=1)
    simulated(tmp_path, "same", seed=2)
    simulated(tmp_path, "barriers", seed=3, checkpoints={"every": 5})
    simulated(tmp_path, "costs", seed=4, simulated={"costs": "my.toml"})
    simulated(tmp_path, "others", seed=5, simulated={"costs": "my.toml"}, costs={"pull": {"base": 2.0}})
    # another version's default costs
    simulated(tmp_path, "older", seed=6, costs={"pull": {"base": 3.0}})
    settings = compared(tmp_path).runs["setting"]
    assert settings["one"] == settings["same"] == settings["costs"]
    assert settings.nunique() == 4


def test_real_runs_differ_in_turns_but_not_in_checkpoints(tmp_path):
    for i, more in enumerate(({}, {"checkpoints": {"every": 5}}, {"workers": {"turns": "off"}}, {"simulated": {}})):
        write(tmp_path, str(i), straight(-20, 5), seed=i, **more)
    settings = compared(tmp_path).runs["setting"]
    assert settings["0"] == settings["1"] == settings["3"] != settings["2"]


def test_simulated_runs_make_table_2(tmp_path):
    for threads in (1, 2, 4):
        simulated(tmp_path, str(threads), threads)
    found = compared(tmp_path)
    by_game = speed.by_game(found, scores.default_reference_scores(found))
    speedups = speed.speedup(by_game).query("variant == 'a3c'").set_index("threads")["speedup"]
    assert speedups.to_dict() == pytest.approx({1: 1, 2: 2, 4: 4})
    assert "linearly with threads by assumption" in clock_notes(found)


def test_lag_by_threads_is_weighted_by_updates(tmp_path):
    for threads, lags in ((1, (0.0, 0.0)), (4, (3.0, 1.0))):
        run = write(tmp_path, str(threads), straight(-20, 5), threads=threads)
        rows = [
            {"frames": 4 * steps, "steps": steps, "updates": updates, "seconds": steps / 250, "policy_lag": lag}
            | {"frames_per_second": 1000.0}
            for steps, updates, lag in zip((100, 400), (10, 40), lags, strict=True)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = staleness.lag_by_threads(compared(tmp_path)).set_index("x")["y"]
    assert found.to_dict() == pytest.approx({1: 0.0, 4: (10 * 3 + 30 * 1) / 40})


def test_runs_that_took_turns_are_noted_where_threads_are_compared(tmp_path):
    for threads, turns in ((1, False), (16, True), (2, None)):
        run = write(tmp_path, str(threads), straight(-20, 5), threads=threads)
        if turns is not None:
            change(run, turns=turns)
    found = compared(tmp_path)
    assert "In 1 run of 3 workers took turns on fewer cores than threads" in clock_notes(found)
    assert clock_notes(compared(tmp_path, where="threads<16")) == ""
    assert tables.inventory(found).set_index("id")["turns"].to_dict() == {"1": False, "16": True, "2": None}
