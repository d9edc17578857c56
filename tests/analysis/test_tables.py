import numpy as np
import pytest

from asyncrl.analysis import reference_data, scores, speed, tables, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from tests.analysis.stores import straight, write


def comparison(root):
    return validity.build_comparison(load(Selection(root)))


@pytest.fixture
def root(tmp_path):
    """Two games, two methods, three seeds each: finals of 0, 5 and 10, the second method twice as high."""
    for game in ("pong", "breakout"):
        for algo, factor in (("a3c", 1), ("n-step-q", 2)):
            for seed in (1, 2, 3):
                high = factor * 5.0 * (seed - 1)
                write(tmp_path, f"{game}-{algo}-{seed}", straight(-21, high), env=game, algo=algo, seed=seed)
    return tmp_path


def test_the_overview_counts_runs_and_averages_their_last_scores(root):
    table = tables.overview(scores.run_scores(comparison(root))).set_index(["task", "label"])
    row = table.loc[("pong, atari-paper-noop", "n-step-q")]
    assert (row["runs"], row["final"], row["best"]) == (3, 10.0, 10.0)
    assert (row["low"], row["high"]) == pytest.approx((0, 20))
    assert (row["frames_per_second"], row["machine"]) == (1000.0, "A CPU, 2 cores")


def test_per_game_scores_stand_beside_columns_that_say_how_games_start(root):
    table = tables.per_game(scores.run_scores(comparison(root))).set_index(["game", "label"])
    row = table.loc[("pong", "a3c")]
    assert row["final"] == 5.0
    assert row["percent"] == pytest.approx(100 * 25.7 / 35.3)
    assert (row["A3C (NoisyNet paper), no-op starts"], row["A3C FF, human starts"]) == (7, 5.6)
    assert (row["random, no-op starts"], row["random, human starts"]) == (-20.7, -18.0)
    named = [column for column in table.columns if "starts" in column]
    assert len(named) == 2 + 2 + 2 + 8
    assert named.index("A3C FF, human starts") > named.index("A3C (PFRL), no-op starts")


def test_the_summary_is_over_games_and_keeps_protocols_apart(root):
    write(root, "sticky", straight(-21, 15), atari={"protocol": "sticky"}, protocol="atari-sticky-noop")
    table = tables.summary(scores.run_scores(comparison(root)))
    ours = table[table["made"] == "here"].set_index(["method", "protocol"])
    a3c = ours.loc[("a3c", "atari-paper-noop")]
    pong, breakout = 100 * (5 + 20.7) / (14.6 + 20.7), 100 * (5 - 1.7) / (30.5 - 1.7)
    assert a3c["mean"] == a3c["median"] == pytest.approx((pong + breakout) / 2)
    assert (a3c["games"], a3c["runs"]) == (2, 6)
    assert ours.loc[("a3c", "atari-sticky-noop"), "games"] == 1
    printed = table[table["made"] == "published, as printed"]
    assert set(printed["starts"]) == {"human"}
    same = table[table["made"] == "published, over the games of this report"].set_index("method")
    assert set(same["starts"]) == {"no-op"}
    noisy = (100 * (7 + 20.7) / 35.3, 100 * (496 - 1.7) / 28.8)
    assert same.at["A3C (NoisyNet paper)", "mean"] == pytest.approx(np.mean(noisy))


def test_a_better_method_is_probably_better(root):
    row = tables.improvements(scores.run_scores(comparison(root))).iloc[0]
    assert (row["label"], row["over"], row["tasks"], row["runs"]) == ("a3c", "n-step-q", 2, 12)
    # of the nine pairs of 0, 5, 10 with 0, 10, 20: two above, two ties
    assert row["probability"] == pytest.approx((2 + 0.5 * 2) / 9)


@pytest.fixture
def scaling(tmp_path):
    """Pong with 1, 2 and 4 threads at 100, 200 and 300 frames/s: all reach 0 after half their frames."""
    for threads, fps in ((1, 100.0), (2, 200.0), (4, 300.0)):
        for seed in (1, 2, 3):
            write(tmp_path, f"{threads}-{seed}", [-10.0, 10.0], threads=threads, fps=fps, seed=seed, frames=400_000)
    return tmp_path


def test_speed_ups_are_ratios_of_hours_to_one_thread(scaling):
    by_game = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0})
    assert list(by_game["hours"]) == pytest.approx([300_000 / fps / 3600 for fps in (100, 200, 300)])
    assert list(by_game["speedup"]) == pytest.approx([1, 2, 3])
    assert list(by_game["data_efficiency"]) == pytest.approx([1, 1, 1])
    table = speed.speedup(by_game)
    ours = table[table["variant"] == "a3c"].set_index("threads")
    assert list(ours["speedup"]) == pytest.approx([1, 2, 3])
    assert (ours.at[4, "games"], ours.at[4, "runs"]) == (1, 3)
    paper = table[table["variant"] == "paper: a3c"].set_index("threads")["speedup"]
    assert paper[16] == 12.5


def test_speed_ups_of_several_games_are_averaged(scaling):
    for threads, fps in ((1, 100.0), (2, 400.0)):
        write(scaling, f"b-{threads}", [-10.0, 10.0], env="breakout", threads=threads, fps=fps)
    both = {"pong, atari-paper-noop": 0.0, "breakout, atari-paper-noop": 0.0}
    table = speed.speedup(speed.by_game(comparison(scaling), both)).query("variant == 'a3c'").set_index("threads")
    assert table.at[2, "speedup"] == pytest.approx((2 + 4) / 2)
    assert (table.at[2, "games"], table.at[4, "games"]) == (2, 1)


def test_a_score_that_most_runs_never_reach_has_no_speed_up(scaling):
    write(scaling, "late-1", [-10.0, -9.0], threads=8, seed=1)
    write(scaling, "late-2", [-10.0, 9.0], threads=8, seed=2)
    by_game = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads")
    assert (by_game.at[8, "runs"], by_game.at[8, "reached"]) == (2, 1)
    assert np.isnan(by_game.at[8, "speedup"])


def test_times_and_speed_ups_have_intervals_over_runs(scaling):
    for seed, middle in enumerate((-5.0, 5.0, 20.0), start=4):
        write(scaling, f"wide-{seed}", [-10.0, middle], threads=4, fps=300.0, seed=seed, frames=400_000)
    by_game = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads")
    one, four = by_game.loc[1], by_game.loc[4]
    assert [one["hours_low"], one["hours_high"]] == pytest.approx([one["hours"]] * 2)
    assert four["hours_low"] < four["hours"] < four["hours_high"]
    assert four["speedup_low"] == pytest.approx(one["hours"] / four["hours_high"])
    assert four["data_efficiency_low"] < four["data_efficiency"] < four["data_efficiency_high"]
    table = speed.speedup(by_game.reset_index()).query("variant == 'a3c'").set_index("threads")
    assert table.at[4, "speedup_low"] == four["speedup_low"]
    assert np.isnan(table.at[1, "speedup_low"])


def test_a_time_that_half_of_the_resamples_reach_has_an_infinite_end(scaling):
    for seed in (1, 2, 3, 4):
        last = 9.0 if seed < 4 else -9.0
        write(scaling, f"some-{seed}", [-10.0, last], threads=8, seed=seed, frames=400_000)
    row = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads").loc[8]
    assert np.isfinite(row["frames"])
    assert np.isinf(row["frames_high"])
    assert row["frames_limit"] == 400_000
    assert row["data_efficiency_low"] == 0


def test_the_limit_of_a_time_that_half_of_the_runs_reached_lies_between_both_halves(scaling):
    for seed, last in enumerate((9.0, -9.0), start=1):
        write(scaling, f"half-{seed}", [-10.0, last], threads=8, seed=seed, frames=400_000)
    row = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads").loc[8]
    assert np.isnan(row["frames"])
    reached = 200_000 + 10 / 19 * 200_000
    assert row["frames_limit"] == pytest.approx((reached + 400_000) / 2)


@pytest.mark.parametrize("early", [1, 4])
def test_a_score_that_was_there_at_the_first_evaluation_has_no_speed_up(scaling, early):
    """Neither the time of one thread nor of four is known: it was some time before."""
    for seed in (4, 5, 6, 7):
        write(scaling, f"early-{seed}", [1.0, 10.0], threads=early, seed=seed, frames=400_000)
    by_game = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads")
    assert (by_game.at[early, "at_once"], by_game.at[2, "at_once"]) == (4, 0)
    assert np.isnan(by_game.at[4, "speedup"])
    assert np.isnan(by_game.at[2, "speedup"]) == (early == 1)


def test_machines_are_not_compared_by_the_clock(scaling):
    write(scaling, "big", [-10.0, 10.0], threads=8, fps=9_999.0, cores=64)
    by_game = speed.by_game(comparison(scaling), {"pong, atari-paper-noop": 0.0}).set_index("threads")
    assert np.isnan(by_game.at[8, "speedup"])


def test_the_inventory_has_every_run_and_says_which_are_used(root):
    write(root, "stopped", [1.0], status="interrupted", seed=9)
    (write(root, "broken", [1.0]) / "run.json").write_text("{")
    table = tables.inventory(comparison(root)).set_index("id")
    assert len(table) == 14
    assert dict(table["used"].value_counts()) == {"yes": 12, "no": 2}
    assert table.at["pong-a3c-1", "torch"] == "2.13.0"
    assert table.at["pong-a3c-1", "hours"] == pytest.approx(1000 / 3600)
    assert table.at["broken", "status"] == "damaged"


def test_tables_of_nothing_have_their_columns_and_the_published_rows(tmp_path):
    nothing = comparison(tmp_path)
    runs = scores.run_scores(nothing)
    assert tables.overview(runs).empty
    assert tables.per_game(runs).empty
    assert tables.improvements(runs).empty
    assert tables.inventory(nothing).empty
    assert len(tables.summary(runs)) == 8
    assert len(speed.speedup(speed.by_game(nothing, {}))) == len(reference_data.speedup())


def test_labels_are_sorted_by_the_numbers_in_them(tmp_path):
    for threads in (16, 2, 1):
        write(tmp_path, f"{threads}-threads", straight(-21, threads), threads=threads)
    runs = scores.run_scores(comparison(tmp_path))
    labels = ["a3c, 1 thread", "a3c, 2 threads", "a3c, 16 threads"]
    assert list(tables.overview(runs)["label"]) == labels
    assert list(tables.improvements(runs)["over"]) == [labels[1], labels[2], labels[2]]
