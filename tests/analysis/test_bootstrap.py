"""Golden numbers, worked out by hand from the definitions in rliable's README and paper."""

import numpy as np
import pytest

from asyncrl.analysis import bootstrap

EIGHT = {"pong": [0.0, 0.1, 0.2, 0.7], "breakout": [0.4, 0.6, 0.8, 2.2]}
# per game: means 0.25 and 1.0. All sorted: 0 .1 | .2 .4 .6 .7 | .8 2.2, the middle half between the bars


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", (0.25 + 1.0) / 2),
        ("median", (0.25 + 1.0) / 2),
        ("IQM", (0.2 + 0.4 + 0.6 + 0.7) / 4),
        ("optimality gap", 1 - (0.25 + (0.4 + 0.6 + 0.8 + 1.0) / 4) / 2),
    ],
)
def test_aggregates_are_those_worked_out_by_hand(name, value):
    found = bootstrap.aggregate(EIGHT, bootstrap.AGGREGATES[name])
    assert found.value == pytest.approx(value)
    assert found.low < found.value < found.high
    assert (found.runs, found.games) == (8, 2)


def test_the_median_is_of_games_not_of_runs():
    scores = {"a": [0.0, 0.0, 0.3], "b": [0.5, 0.5, 0.5], "c": [9.0, 9.0, 9.0]}
    assert bootstrap.aggregate(scores, bootstrap.median).value == 0.5
    assert bootstrap.aggregate(scores, bootstrap.mean).value == pytest.approx((0.1 + 0.5 + 9) / 3)


def test_a_game_with_more_runs_weighs_no_more_in_the_iqm():
    equal = {"a": [1.0, 2.0], "b": [3.0, 8.0]}
    more = {"a": [1.0, 2.0] * 3, "b": [3.0, 8.0]}
    assert bootstrap.aggregate(equal, bootstrap.iqm).value == 2.5
    assert bootstrap.aggregate(more, bootstrap.iqm).value == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("finals", "value"),
    [
        ([0.0, 6.0, 30.0], (0 / 12 + 6 * 4 / 12 + 30 / 12) / 0.5),
        ([1.0, 2.0, 3.0, 5.0, 9.0, 99.0], (2 / 12 + 8 / 6 + 9 / 12) * 2),
    ],
)
def test_the_iqm_is_of_the_middle_half_where_four_does_not_divide_the_runs_too(finals, value):
    """Each run takes a third, or a sixth, of [0, 1]; the middle half is [1/4, 3/4]."""
    assert bootstrap.aggregate({"a": finals}, bootstrap.iqm).value == pytest.approx(value)
    alone = {str(i): [final] for i, final in enumerate(finals)}
    assert bootstrap.aggregate(alone, bootstrap.iqm).value == pytest.approx(value)


def test_the_iqm_does_not_see_outliers():
    scores = {"a": [0.4, 0.5, 0.5, 0.6]}
    wild = {"a": [-100.0, 0.5, 0.5, 100.0]}
    assert bootstrap.aggregate(scores, bootstrap.iqm).value == bootstrap.aggregate(wild, bootstrap.iqm).value == 0.5


@pytest.mark.parametrize(
    ("x", "y", "value"),
    [
        ({"a": [3.0, 4.0]}, {"a": [1.0, 2.0]}, 1.0),
        ({"a": [1.0, 2.0]}, {"a": [3.0, 4.0]}, 0.0),
        ({"a": [1.0, 3.0]}, {"a": [2.0, 2.0]}, 0.5),
        ({"a": [1.0, 2.0]}, {"a": [2.0, 0.0]}, (0.0 + 1.0 + 0.5 + 1.0) / 4),  # pairs: 1<2, 1>0, 2=2, 2>0
        ({"a": [3.0], "b": [1.0]}, {"a": [1.0], "b": [3.0]}, 0.5),
        ({"a": [3.0, 3.0, 1.0], "b": [5.0]}, {"a": [2.0], "b": [5.0]}, (2 / 3 + 0.5) / 2),
    ],
)
def test_probability_of_improvement_counts_pairs_within_games(x, y, value):
    assert bootstrap.probability_of_improvement(x, y).value == pytest.approx(value)


def test_an_improvement_needs_the_same_games():
    with pytest.raises(ValueError, match="same games"):
        bootstrap.probability_of_improvement({"a": [1.0]}, {"b": [1.0]})


def test_a_profile_is_the_fraction_of_runs_above_each_level():
    found = bootstrap.performance_profile(EIGHT, [-1.0, 0.1, 0.5, 1.0, 3.0])
    assert list(found[:, 0]) == [1.0, 6 / 8, 4 / 8, 1 / 8, 0.0]  # above, not at
    assert (found[:, 1] <= found[:, 0]).all()
    assert (found[:, 0] <= found[:, 2]).all()


def test_a_bootstrap_is_repeatable_and_another_seed_is_another():
    one, two = (bootstrap.aggregate(EIGHT, bootstrap.mean, seed=seed) for seed in (1, 1))
    other = bootstrap.aggregate(EIGHT, bootstrap.mean, seed=2)
    assert one == two
    assert one.value == other.value
    assert one != other


def test_runs_are_drawn_within_their_games():
    """If strata were mixed, a mean of two games that do not spread would."""
    found = bootstrap.aggregate({"a": [0.0] * 5, "b": [10.0] * 5}, bootstrap.mean)
    assert (found.low, found.value, found.high) == (5.0, 5.0, 5.0)


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    scores = np.random.default_rng(0).normal(size=400)
    found = bootstrap.aggregate({"a": scores}, bootstrap.mean)
    half = 1.96 * scores.std() / np.sqrt(400)
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)


def test_one_run_has_a_value_and_no_interval():
    found = bootstrap.aggregate({"a": [0.5], "b": [1.5]}, bootstrap.mean)
    assert found.value == 1.0
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(bootstrap.mean_curve(np.array([[1.0, 2.0]]))[:, 1:]).all()


def test_a_single_run_is_not_certain_because_others_are_several():
    scores = {"a": [0.5], "b": [1.5, 2.5]}
    for found in (
        bootstrap.aggregate(scores, bootstrap.mean),
        bootstrap.probability_of_improvement({"a": [1.0]}, {"a": [2.0, 0.0]}),
    ):
        assert np.isnan([found.low, found.high]).all()
    assert np.isnan(bootstrap.performance_profile(scores, [1.0])[:, 1:]).all()


@pytest.mark.parametrize("scores", [{}, {"a": []}, {"a": [float("nan")]}])
def test_missing_scores_are_not_passed_over(scores):
    with pytest.raises(ValueError, match="every game needs"):
        bootstrap.aggregate(scores, bootstrap.mean)


def test_a_curve_is_the_mean_at_each_point_with_its_band():
    runs = np.array([[0.0, 10.0], [2.0, 10.0], [4.0, 10.0]])
    found = bootstrap.mean_curve(runs)
    assert list(found[:, 0]) == [2.0, 10.0]
    assert list(found[1]) == pytest.approx([10.0] * 3)
    assert (found[0, 1], found[0, 2]) == pytest.approx(
        (0.0, 4.0), abs=0.7
    )  # 5 % of draws are one run three times, or so


def test_best_5_of_50_is_the_mean_of_the_top_five():
    found = bootstrap.mean_of_best(list(range(50)), 5)
    assert found.value == np.mean([45, 46, 47, 48, 49])
    assert found.runs == 50
    assert found.low < found.value <= found.high
    with pytest.raises(ValueError, match="4 runs have no best 5"):
        bootstrap.mean_of_best([1.0] * 4, 5)


def test_the_best_three_rates_are_those_of_the_highest_mean_scores():
    scores = {1e-4: [1.0, 3.0], 1e-3: [9.0, 0.0], 1e-2: [0.0], 7e-4: [4.0]}
    assert bootstrap.best_learning_rates(scores) == [1e-3, 7e-4, 1e-4]
    assert bootstrap.best_learning_rates({1e-3: [1.0]}) == [1e-3]
