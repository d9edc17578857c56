"""Labels, panels and axes made of the settings that vary between runs."""

from itertools import product

import pytest

from asyncrl.analysis import scores, series, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.config import Exploration
from tests.analysis.stores import straight, write

PONG = "pong, atari-paper-noop"


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"averaging": 100}, ("averaging 0", "averaging 100")),
        ({"target_frames": 80_000}, ("target 40k", "target 80k")),
        ({"target_frames": 40_001}, ("target_frames 40,000", "target_frames 40,001")),
        (
            {"exploration": Exploration(anneal_frames=7)},
            ("exploration.anneal_frames 4e6", "exploration.anneal_frames 7"),
        ),
        ({"lr": 1e-3}, ("lr 7e-4", "lr 0.001")),
    ],
)
def test_labels_of_runs_with_another_value_name_it(tmp_path, more, words):
    write(tmp_path, "one", straight(-21, 1), seed=1)
    write(tmp_path, "two", straight(-21, 2), seed=2, **more)
    assert tuple(comparison(tmp_path).runs["label"].sort_index()) == tuple(f"a3c, {word}" for word in words)


def test_labels_of_rates_with_a_run_each_are_one_and_of_few_rates_with_seeds_several(tmp_path):
    for i in range(6):
        write(tmp_path / "drawn", f"{i}", straight(-21, i), lr=1e-4 * 2**i, seed=i)
    for lr, seed in product((1e-4, 1e-3), (1, 2)):
        write(tmp_path / "grid", f"{lr}-{seed}", straight(-21, seed), lr=lr, seed=seed)
    drawn, grid = comparison(tmp_path / "drawn"), comparison(tmp_path / "grid")
    assert set(drawn.runs["label"]) == {"a3c"}
    assert drawn.varying.axes == ("optimizer.lr",)
    assert set(grid.runs["label"]) == {"a3c, lr 1e-4", "a3c, lr 0.001"}
    assert grid.varying.axes == ()


def test_panels_with_too_many_lines_are_split_by_method_and_then_by_the_fewest_values(tmp_path):
    for algo, t_max, entropy in product(("a3c", "n-step-q"), (1, 2, 3, 4), (0.0, 0.1, 0.2)):
        name = f"{algo}-{t_max}-{entropy}"
        write(tmp_path, name, straight(-21, t_max + entropy), algo=algo, t_max=t_max, entropy=entropy)
    curves = series.learning_curves(comparison(tmp_path), "frames")
    titles = [f"{PONG}: {algo}, entropy {value}" for algo in ("a3c", "n-step-q") for value in ("0", "0.1", "0.2")]
    assert sorted(set(curves["panel"])) == titles
    assert curves.groupby("panel")["series"].nunique().tolist() == [4] * 6
    assert set(curves["series"]) == {f"t_max {value}" for value in (1, 2, 3, 4)}


def test_scores_against_a_setting_of_a_grid_are_means_at_its_values(tmp_path):
    for t_max, seed in product((2, 5, 20), (1, 2)):
        write(tmp_path, f"{t_max}-{seed}", straight(-21, t_max + seed), t_max=t_max, seed=seed)
    found = comparison(tmp_path)
    points = series.score_by_setting(scores.run_scores(found), found.varying, "t_max")
    assert points[["series", "x", "y", "runs"]].to_numpy().tolist() == [
        ["a3c", 2.0, 3.5, 2],
        ["a3c", 5.0, 6.5, 2],
        ["a3c", 20.0, 21.5, 2],
    ]
