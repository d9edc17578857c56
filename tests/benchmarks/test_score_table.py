"""``benchmarks.time_to_score table``, on games and rates whose answers can be computed by hand."""

import pytest

from tests.benchmarks.setups import games_to_zero, write_games, write_rates

NEVER = [-1] * 400
SLOW, FAST = "sb3-a2c", "n-step-q-fast"


def write_seeds(folder, entry, *runs, spacing=1_000):
    """Write one training for each list of scores."""
    for seed, scores in enumerate(runs, 1):
        write_games(folder / f"{entry}-pong-s{seed}", scores, spacing)


@pytest.fixture
def cells(time_to_score, tmp_path):
    """Return a function that prints the table for a mean of 0, and returns the cells of each entry."""

    def read(*options):
        code, out, err = time_to_score("table", tmp_path, "--score", "0", *options)
        assert (code, err) == (0, "")
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines()]
        assert [len(line) for line in lines] == [len(lines[0])] * len(lines)
        return {line[0]: line[1:] for line in lines[2:]}

    return read


def test_table_three_seeds_has_medians_intervals_and_the_ratio(cells, tmp_path):
    write_seeds(tmp_path, FAST, *map(games_to_zero, (150, 250, 350)))
    write_seeds(tmp_path, SLOW, *map(games_to_zero, (150, 250, 350)), spacing=10_000)
    write_rates(tmp_path, n_step_q_fast=[1000, 1000], sb3_a2c=[500, 500])
    assert cells() == {
        "asyncrl n-step Q, fast": [
            *("3", "1,000", "3 of 3", "250k (150k to 350k)", "4.2 (2.5 to 5.8)", "0.05 (0.02 to 0.12)"),
        ],
        "Stable-Baselines3 A2C": ["3", "500", "3 of 3", "2.5M (1.5M to 3.5M)", "83 (50 to 117)", "1"],
    }


def test_table_one_seed_has_no_interval(cells, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150))
    write_seeds(tmp_path, SLOW, games_to_zero(150), games_to_zero(150))
    write_rates(tmp_path, n_step_q_fast=[1000, 1000], sb3_a2c=[1000, 1000])
    found = cells()
    assert found["asyncrl n-step Q, fast"] == ["1", "1,000", "1 of 1", "150k", "2.5", "1.00"]
    assert found["Stable-Baselines3 A2C"][3] == "150k (150k to 150k)"


def test_table_one_of_three_never_reaches_leaves_the_upper_end_open(cells, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150), games_to_zero(250), NEVER)
    write_rates(tmp_path, n_step_q_fast=[1000, 1000])
    (found,) = cells().values()
    assert found == ["3", "1,000", "2 of 3", "250k (150k to ∞)", "4.2 (2.5 to ∞)", "–"]


def test_table_none_reaches_has_a_bound(cells, tmp_path):
    write_seeds(tmp_path, FAST, NEVER, NEVER, NEVER)
    write_rates(tmp_path, n_step_q_fast=[1000, 1000])
    (found,) = cells().values()
    assert found == ["3", "1,000", "0 of 3", "> 400k", "> 6.7", "–"]


def test_table_reference_never_reaches_bounds_the_ratio_from_above(cells, tmp_path):
    write_seeds(tmp_path, FAST, *map(games_to_zero, (150, 250, 350)))
    write_seeds(tmp_path, SLOW, NEVER, NEVER, NEVER, spacing=10_000)
    write_rates(tmp_path, n_step_q_fast=[1000, 1000], sb3_a2c=[500, 500])
    found = cells()
    assert found["Stable-Baselines3 A2C"][2:] == ["0 of 3", "> 4M", "> 133", "1"]
    assert found["asyncrl n-step Q, fast"][-1] == "< 0.03 (0.00 to 0.04)"


def test_table_neither_reaches_has_no_ratio(cells, tmp_path):
    write_seeds(tmp_path, FAST, NEVER, NEVER)
    write_seeds(tmp_path, SLOW, NEVER, NEVER)
    write_rates(tmp_path, n_step_q_fast=[1000, 1000], sb3_a2c=[500, 500])
    assert cells()["asyncrl n-step Q, fast"][-1] == "–"


def test_table_unfinished_run_counts_as_later_than_its_last_game(cells, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150), [-1] * 100)
    (found,) = cells().values()
    assert found[2:4] == ["1 of 2", "> 125k (100k to ∞)"]


def test_table_interval_of_minutes_contains_the_spread_of_rates(cells, tmp_path):
    write_seeds(tmp_path, FAST, *[games_to_zero(300)] * 3)
    write_rates(tmp_path, n_step_q_fast=[500, 1000])
    (found,) = cells().values()
    assert found[1:5] == ["750", "3 of 3", "300k (300k to 300k)", "6.7 (5.0 to 10)"]


def test_table_ratio_draws_the_rates_of_a_round_together(cells, tmp_path):
    for entry in (FAST, SLOW):
        write_seeds(tmp_path, entry, *[games_to_zero(300)] * 3)
    write_rates(tmp_path, n_step_q_fast=[500, 1000], sb3_a2c=[250, 500])
    assert cells()["asyncrl n-step Q, fast"][-1] == "0.50 (0.50 to 0.50)"


def test_table_without_rates_has_frames_only(cells, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150))
    (found,) = cells().values()
    assert found == ["1", "–", "1 of 1", "150k", "–", "–"]


def test_table_fewer_than_a_hundred_games_have_no_mean(cells, tmp_path):
    write_seeds(tmp_path, FAST, [21] * 99, [21] * 100)
    (found,) = cells().values()
    assert found[2] == "1 of 2"


def test_table_rows_out_of_order_are_sorted_by_frames(cells, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150))
    file = tmp_path / f"{FAST}-pong-s1" / "episodes.jsonl"
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    (found,) = cells().values()
    assert found[3] == "150k"


def test_table_two_scores_have_columns_of_their_own(time_to_score, tmp_path):
    write_seeds(tmp_path, FAST, [-1] * 100 + [20] * 100)
    code, out, _ = time_to_score("table", tmp_path)
    head, _, row = out.splitlines()
    assert code == 0
    assert [cell.strip() for cell in head.split("|") if "frames to" in cell] == ["frames to 0", "frames to 18"]
    # 100 games with the mean -1 + 21 i / 100 after i more
    assert [cell.strip() for cell in row.split("|")][5:10:4] == ["105k", "191k"]


def test_table_other_environment_reads_its_own_games(time_to_score, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150))
    code, out, err = time_to_score("table", tmp_path, "--env", "breakout")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "breakout" in err


def test_table_empty_directory_is_refused_with_the_command_that_trains(time_to_score, tmp_path):
    code, out, err = time_to_score("table", tmp_path / "none")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "train" in err


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "{}", '{"frames_per_second": 3}', '{"frames_per_second": {"sb3-a2c": []}}',
     '{"frames_per_second": {"sb3-a2c": [0]}}', '{"frames_per_second": {"sb3-a2c": 3}}'],
)  # fmt: skip
def test_table_damaged_rates_are_refused_in_one_line(damage, time_to_score, tmp_path):
    write_seeds(tmp_path, FAST, games_to_zero(150))
    (tmp_path / "rates-pong.json").write_text(damage)
    code, out, err = time_to_score("table", tmp_path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "rates-pong.json" in err


def test_rates_of_before_are_not_overwritten(time_to_score, tmp_path):
    write_rates(tmp_path, sb3_a2c=[500])
    before = (tmp_path / "rates-pong.json").read_bytes()
    code, _, err = time_to_score("rates", tmp_path)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert (tmp_path / "rates-pong.json").read_bytes() == before
