import numpy as np
import pytest

from asyncrl.analysis import scores, series, speed, tables, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.report import plot
from tests.analysis.stores import straight, write

PONG = "pong, atari-paper-noop"


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


def test_a_learning_curve_is_the_mean_of_runs_where_all_of_them_are(tmp_path):
    write(tmp_path, "one", [0.0, 10.0], frames=400_000, seed=1)  # at 200k and 400k
    write(tmp_path, "two", [0.0, 10.0, 20.0, 30.0], frames=400_000, seed=2)  # at 100k, 200k …
    curve = series.learning_curves(comparison(tmp_path), "frames")
    assert set(curve["panel"]) == {PONG}
    assert set(curve["runs"]) == {2}
    assert (curve["x"].min(), curve["x"].max()) == (200_000, 400_000)
    assert curve["y"].iloc[[0, -1]].tolist() == pytest.approx([5, 20])
    assert (curve["low"].iloc[0], curve["high"].iloc[0]) == (0, 10)


@pytest.mark.parametrize("unit", ["frames", "hours"])
def test_runs_without_a_common_stretch_stand_alone(tmp_path, unit):
    """A mean of them would say something of frames where one of them never was."""
    write(tmp_path, "short", [5.0, 6.0], frames=200_000, seed=1)
    write(tmp_path, "long", [0.0, 10.0], frames=2_000_000, seed=2)
    runs = validity.build_comparison(load(Selection(tmp_path, compare=("mine: algo=a3c",))))
    curves = series.learning_curves(runs, unit).groupby("series")
    assert set(curves["runs"].max()) == {1}
    assert sorted(curves["y"].agg(list)) == [[0.0, 10.0], [5.0, 6.0]]
    assert len({plot.palette(series.learning_curves(runs, unit))[name] for name in curves.groups}) == 1


def test_against_hours_a_faster_run_is_to_the_left(tmp_path):
    for threads, fps in ((1, 100.0), (4, 400.0)):
        write(tmp_path, f"{threads}", straight(-21, 0), threads=threads, fps=fps)
    curve = series.learning_curves(comparison(tmp_path), "hours")
    ends = curve.groupby("series")["x"].max()
    assert ends["a3c, 1 thread"] == pytest.approx(1e6 / 100 / 3600)
    assert ends["a3c, 4 threads"] == pytest.approx(1e6 / 400 / 3600)
    frames = series.learning_curves(comparison(tmp_path), "frames").groupby("series")["x"].max()
    assert set(frames) == {1_000_000}


def test_hours_on_two_machines_are_two_lines_and_frames_are_one(tmp_path):
    write(tmp_path, "small", straight(-21, 0), seed=1)
    write(tmp_path, "large", straight(-21, 1), seed=2, cores=64)
    hours = series.learning_curves(comparison(tmp_path), "hours")
    assert set(hours["series"]) == {"a3c (A CPU, 2 cores)", "a3c (A CPU, 64 cores)"}
    assert set(series.learning_curves(comparison(tmp_path), "frames")["series"]) == {"a3c"}


def test_ten_runs_or_more_have_a_line_of_their_best_five(tmp_path):
    for seed in range(10):
        write(tmp_path, f"run-{seed}", [0.0, float(seed)], seed=seed)
    curves = series.learning_curves(comparison(tmp_path), "frames")
    last = curves.groupby("series")["y"].last()
    assert last["a3c"] == pytest.approx(4.5)
    assert last["a3c, best 5 of 10"] == pytest.approx(7.0)
    assert set(curves["statistic"]) == {"mean", "mean, best 5"}
    best = tables.best_run_scores(scores.run_scores(comparison(tmp_path))).iloc[0]
    assert (best["statistic"], best["final"]) == ("mean of the best 5 of 10 runs", 7.0)


def test_threads_are_compared_by_the_best_three_learning_rates(tmp_path):
    for threads in (1, 2):
        for i, lr in enumerate((1e-4, 3e-4, 1e-3, 3e-3, 1e-2)):
            write(tmp_path, f"{threads}-{i}", [0.0, 10.0 * i * threads], threads=threads, lr=lr)
    found = comparison(tmp_path)
    curves = series.curves_by_threads(found, "frames")
    assert curves.groupby("series")["y"].last().to_dict() == {
        "1 thread": pytest.approx(30),
        "2 threads": pytest.approx(60),
    }
    assert set(curves["statistic"]) == {"mean, best 3 learning rates"}
    best = tables.best_run_scores(scores.run_scores(found)).set_index("label")
    assert best.at["a3c, 1 thread", "final"] == pytest.approx(30)
    assert best.at["a3c, 1 thread", "rates"] == "0.01, 0.003, 0.001"
    assert len(series.score_by_setting(scores.run_scores(found), found.varying, "optimizer.lr")) == 10


def test_one_thread_count_and_one_rate_make_no_figure_of_them(tmp_path):
    write(tmp_path, "one", straight(-21, 0))
    found = comparison(tmp_path)
    runs = scores.run_scores(found)
    assert series.curves_by_threads(found, "frames").empty
    assert series.score_by_setting(runs, found.varying, "optimizer.lr").empty
    assert series.scores_by_optimizer(runs).empty
    assert series.speedup_by_threads(speed.speedup(speed.by_game(found, {PONG: -10.0}))).empty


def test_optimisers_are_ranked_from_their_best_run(tmp_path):
    for name, finals in (("shared-rmsprop", (5.0, 1.0, 3.0)), ("momentum", (2.0, 4.0))):
        for seed, final in enumerate(finals):
            write(tmp_path, f"{name}-{seed}", [final], optimizer=name, seed=seed)
    found = series.scores_by_optimizer(scores.run_scores(comparison(tmp_path)))
    assert found.groupby("series")["y"].agg(list).to_dict() == {"momentum": [4, 2], "shared-rmsprop": [5, 3, 1]}
    assert found.groupby("series")["x"].agg(list).to_dict() == {"momentum": [1, 2], "shared-rmsprop": [1, 2, 3]}


def test_optimisers_are_compared_among_runs_of_equal_threads(tmp_path):
    for threads, name in ((1, "momentum"), (2, "momentum"), (2, "shared-rmsprop")):
        write(tmp_path, f"{threads}-{name}", [float(threads)], optimizer=name, threads=threads)
    found = series.scores_by_optimizer(scores.run_scores(comparison(tmp_path)))
    assert set(found["panel"]) == {f"{PONG}: a3c, 2 threads"}
    assert set(found["y"]) == {2.0}


def test_frames_per_second_are_medians_by_threads(tmp_path):
    for seed, fps in enumerate((100.0, 300.0, 200.0)):
        write(tmp_path, f"run-{seed}", [1.0], seed=seed, fps=fps)
    row = series.frames_per_second(scores.run_scores(comparison(tmp_path))).iloc[0]
    assert (row["x"], row["y"], row["low"], row["high"], row["runs"]) == (2, 200.0, 100.0, 300.0, 3)


def test_a_profile_falls_from_one_to_none_at_the_scores_of_the_runs(tmp_path):
    write(tmp_path, "one", [-20.7 + 0.25 * 35.3], seed=1)  # 25 % of a human
    write(tmp_path, "two", [-20.7 + 0.75 * 35.3], seed=2)
    found = series.performance_profiles(scores.run_scores(comparison(tmp_path))).set_index("x")["y"]
    assert (found[0.0], found[50.0], found[100.0]) == (1.0, 0.5, 0.0)


def test_health_is_averaged_over_runs_and_named_by_what_there_is(tmp_path):
    write(tmp_path, "one", straight(-21, 0), seed=1)
    write(tmp_path, "two", straight(-21, 0), seed=2)
    found = series.training_statistics(comparison(tmp_path))
    assert set(found["panel"]) == {f"{PONG}: {name}" for name in ("entropy", "grad norm", "policy lag")}
    assert np.allclose(found.loc[found["panel"] == f"{PONG}: entropy", "y"], 1.5)


@pytest.mark.parametrize(
    "make",
    [series.scores_by_optimizer, series.frames_per_second, series.performance_profiles],
)
def test_nothing_makes_empty_series(tmp_path, make):
    found = make(scores.run_scores(comparison(tmp_path)))
    assert found.empty
    assert list(found.columns) == list(series.COLUMNS)
