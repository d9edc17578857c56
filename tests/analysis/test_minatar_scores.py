"""Scores of MinAtar beside published ones: 0 is random play, 100 % the published DQN."""

import pandas as pd
import pytest

from asyncrl.analysis import reference_data, scores, tables, validity
from asyncrl.analysis.load import load
from asyncrl.analysis.selection import Selection
from asyncrl.config import RunConfig
from asyncrl.errors import InputError
from asyncrl.sweeping.objective import normalised
from tests.analysis.stores import straight, write

GAMES = [f"MinAtar/{title}-v0" for title in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")]


@pytest.fixture
def root(tmp_path):
    for seed in (1, 2):
        for env, final in ((GAMES[1], 5.25), (GAMES[3], 20.5)):
            write(tmp_path, f"{env[8:11]}{seed}", straight(0, final), env=env, seed=seed, protocol="minatar")
    return tmp_path


def run_scores(root):
    return scores.run_scores(validity.build_comparison(load(Selection(root))))


def test_every_published_game_has_random_play_and_the_mean_of_dqn():
    known = reference_data.references().query("starts == 'suite'").set_index("game")
    published = reference_data.scores().query("starts == 'suite'")
    assert set(published["game"]) == set(GAMES) == set(known.index[known["published"].notna()])
    assert published.groupby("method").size().to_dict() == {
        f"{method} at {frames}": 5
        for method in ("DQN", "DQN without replay", "AC(0.8)", "AC(0)")
        for frames in ("2M", "5M")
    }
    dqn = published[published["method"] == "DQN at 5M"].set_index("game")["score"]
    pd.testing.assert_series_equal(known["published"].dropna(), dqn[GAMES], check_names=False)
    assert known["random"].between(0, 5).all()


@pytest.mark.parametrize("env", ["MinAtar/Breakout-v0", "minatar/breakout", "minatar/breakout-v0"])
def test_game_of_any_spelling_is_the_id(env):
    assert reference_data.game(env) == "MinAtar/Breakout-v0"


def test_per_game_scores_stand_beside_the_published_means(root):
    table = tables.per_game(run_scores(root)).set_index("game")
    row = table.loc["MinAtar/Breakout-v0"]
    assert row["final"] == 5.25
    assert row["percent"] == pytest.approx(100 * (5.25 - 0.5) / (10 - 0.5))
    assert row["DQN without replay at 2M, MinAtar starts"] == 3.9
    assert row["AC(0.8) at 5M, MinAtar starts"] == 17.5
    assert row["random, MinAtar starts"] == 0.5
    assert not [name for name in table.columns if "no-op" in name or "human" in name]


def test_the_summary_is_beside_published_agents_of_the_suite_alone(root):
    table = tables.summary(run_scores(root)).set_index("method")
    assert table.loc["a3c", "mean"] == pytest.approx((100 * 4.75 / 9.5 + 100) / 2)
    assert set(table.index) == {"a3c", *reference_data.scores().query("starts == 'suite'")["method"]}
    assert table.loc["DQN at 5M", "mean"] == pytest.approx(100)
    assert set(table["starts"]) == {"suite"}


def test_a_version_without_published_scores_has_no_percent(tmp_path):
    write(tmp_path, "one", straight(0, 5), env="MinAtar/Breakout-v1", protocol="minatar")
    assert run_scores(tmp_path)["percent"].isna().all()


def test_a_task_of_the_suite_is_named_by_its_environment(root):
    assert set(run_scores(root)["task"]) == {"MinAtar/Breakout-v0", "MinAtar/Seaquest-v0"}


def test_a_search_is_normalised_by_the_published_mean():
    config = RunConfig(env="MinAtar/Breakout-v0")
    assert normalised(5.25, config, "reference") == pytest.approx(0.5)
    with pytest.raises(InputError, match=r"no human's score for MinAtar/Breakout-v0, .* must be 'none' or 'reference'"):
        normalised(5.25, config, "human")
    with pytest.raises(InputError, match=r"no published score for MinAtar/Breakout-v1, .* must be 'none'"):
        normalised(5.25, RunConfig(env="MinAtar/Breakout-v1"), "reference")
