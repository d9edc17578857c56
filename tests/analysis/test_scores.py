import math
from itertools import product

import pandas as pd
import pytest

from asyncrl.analysis import scores, speed, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import straight, write

PONG = "pong, atari-paper-noop"


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


def frame(*rows):
    return pd.DataFrame(rows, columns=["game", "starts", "score"])


def test_pong_by_no_op_and_by_human_starts_are_held_against_their_own_references():
    found = scores.normalise(frame(("pong", "no-op", 14.6), ("pong", "human", 15.5), ("pong", "no-op", -20.7)))
    assert list(found["percent"]) == pytest.approx([100, 100, 0])
    assert list(found["reference"].str[:4]) == ["Wang", "van ", "Wang"]


@pytest.mark.parametrize("row", [("pong", None, 1.0), ("tetris", "no-op", 1.0), ("CartPole-v1", None, 1.0)])
def test_what_has_no_reference_has_no_percent(row):
    found = scores.normalise(frame(row))
    assert found[["percent", "reference", "rule"]].isna().all(axis=None)


def test_video_pinball_is_divided_by_the_human_score_by_human_starts_only():
    found = scores.normalise(frame(("video_pinball", "human", 31282.2), ("video_pinball", "no-op", 17667.9)))
    assert list(found["percent"]) == pytest.approx([200, 100])
    assert list(found["rule"]) == [scores.BELOW_RANDOM_RULE, scores.NORMAL_RULE]


def test_final_best_and_area_of_a_known_curve(tmp_path):
    write(tmp_path, "one", [0.0, 10.0, 4.0, 6.0], fps=1000.0)
    row = scores.run_scores(comparison(tmp_path)).loc["one"]
    assert (row["final"], row["best"], row["evaluations"]) == (6.0, 10.0, 4)
    assert row["area"] == pytest.approx((5 + 7 + 5) / 3)  # three equal stretches
    assert row["percent"] == pytest.approx(100 * (6 + 20.7) / (14.6 + 20.7))
    assert row["best_percent"] == pytest.approx(100 * (10 + 20.7) / (14.6 + 20.7))
    assert (row["frames"], row["hours"], row["frames_per_second"]) == (1_000_000, 1000 / 3600, 1000.0)


def test_one_evaluation_is_its_own_area(tmp_path):
    write(tmp_path, "one", [3.0])
    assert scores.run_scores(comparison(tmp_path)).at["one", "area"] == 3.0


def test_a_protocol_without_no_ops_has_no_references(tmp_path):
    write(tmp_path, "one", [3.0], atari={"noops": 0}, protocol="atari-paper")
    row = scores.run_scores(comparison(tmp_path)).loc["one"]
    assert row["final"] == 3.0
    assert math.isnan(row["percent"])


def test_the_moment_of_reaching_lies_on_the_line_between_two_evaluations(tmp_path):
    write(tmp_path, "one", [0.0, 10.0], frames=200_000, fps=100.0)
    row = scores.time_to_score(comparison(tmp_path), {PONG: 2.5}).loc["one"]
    assert row["reached"]
    assert row["frames"] == 125_000
    assert row["hours"] == pytest.approx(1250 / 3600)


@pytest.mark.parametrize(("reference", "frames", "reached"), [(-1.0, 100_000, True), (11.0, 200_000, False)])
def test_reached_at_once_and_never_reached_are_bounds(tmp_path, reference, frames, reached):
    write(tmp_path, "one", [0.0, 10.0], frames=200_000)
    row = scores.time_to_score(comparison(tmp_path), {PONG: reference}).loc["one"]
    assert (row["frames"], row["reached"]) == (frames, reached)


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_by_the_common_reference_every_method_has_a_time(tmp_path, seeds):
    """Of an even number of runs, too: exactly half of them would have no median."""
    for threads, seed in product((1, 2), range(seeds)):
        write(tmp_path, f"{threads}-{seed}", straight(-21, seed), threads=threads, seed=seed, fps=100.0 * threads)
    found = comparison(tmp_path)
    by_game = speed.by_game(found, scores.default_reference_scores(found)).set_index("threads")
    assert by_game.at[2, "speedup"] == pytest.approx(2)
    assert by_game.at[2, "data_efficiency"] == pytest.approx(1)


def test_a_common_reference_is_one_that_most_runs_of_every_method_reached(tmp_path):
    for seed, high in enumerate((1.0, 2.0, 3.0)):
        write(tmp_path, f"a-{seed}", straight(-21, high), seed=seed)
        write(tmp_path, f"b-{seed}", straight(-21, 10 * high), seed=seed, threads=8)
    assert scores.default_reference_scores(comparison(tmp_path)) == {PONG: 2.0}
