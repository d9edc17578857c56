"""Runs with different arguments of an environment are runs of different tasks in every table and figure."""

import pytest

from asyncrl.analysis import scores, series, tables, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import straight, write

WALK = {"env": "tests.own_envs:Walk", "protocol": "gymnasium"}


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


def test_runs_with_other_arguments_are_in_no_mean_comparison_or_panel_together(tmp_path):
    for size, (algo, best) in ((5, ("a3c", 1)), (9, ("a3c", 2)), (9, ("n-step-q", 3))):
        for seed in (1, 2):
            args = {"size": size, "goal": "left"}
            scores_ = straight(0, best + seed / 10)
            write(tmp_path, f"{size}-{algo}-{seed}", scores_, algo=algo, env_args=args, seed=seed, **WALK)
    found = comparison(tmp_path)
    five, nine = (f'tests.own_envs:Walk, goal="left", size={size}' for size in (5, 9))
    runs = scores.run_scores(found)
    rows = tables.overview(runs)[["task", "label", "runs", "final"]].to_numpy().tolist()
    expected = [[five, "a3c", 2, 1.15], [nine, "a3c", 2, 2.15], [nine, "n-step-q", 2, 3.15]]
    assert rows == [[*words, pytest.approx(final)] for *words, final in expected]
    assert tables.improvements(runs)[["tasks", "runs"]].to_numpy().tolist() == [[1, 4]]
    assert scores.default_reference_scores(found).keys() == {five, nine}
    assert set(series.learning_curves(found, "frames")["panel"]) == {five, nine}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {"size": 5}),
        ({"size": 5}, {"size": "5"}),
        ({"size": True}, {"size": "true"}),
        ({"a": '1", b="2'}, {"a": "1", "b": "2"}),
        ({"text": "x" * 500 + "a"}, {"text": "x" * 500 + "b"}),
        ({"sizes": [3, 4]}, {"sizes": [3, [4]]}),
    ],
)
def test_task_names_different_arguments_differently_and_in_bounds(tmp_path, one, two):
    for name, args in (("one", one), ("two", two)):
        write(tmp_path, name, straight(0, 1), env_args=args, **WALK)
    found = set(comparison(tmp_path).runs["task"])
    assert len(found) == 2
    assert max(map(len, found)) < 100


def test_task_of_a_game_with_a_protocol_names_both(tmp_path):
    write(tmp_path, "pong", straight(0, 1))
    assert set(comparison(tmp_path).runs["task"]) == {"pong, atari-paper-noop"}


def test_task_with_control_characters_in_an_argument_shows_their_codes(tmp_path):
    write(tmp_path, "one", straight(0, 1), env_args={"text": "\x9b2J\u202e"}, **WALK)
    assert set(comparison(tmp_path).runs["task"]) == {r'tests.own_envs:Walk, text="\u009b2J\u202e"'}
