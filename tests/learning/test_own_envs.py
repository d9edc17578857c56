"""Environments of a user are learned to their best scores: with arguments, several actions at once, odd pictures."""

import pytest

from tests.learning.runs import final_mean
from tests.own_envs import Compass, Locks, Spot, Walk

pytestmark = [pytest.mark.learning, pytest.mark.timeout(240)]

TOY = {"envs_per_thread": 4, "evaluation": {"episodes": 20, "epsilon": 0.0}, "optimizer": {"lr": 5e-3}}
VALUES = {"target_frames": 200, "exploration": {"anneal_frames": 4_000}, "gamma": 0.9}


@pytest.mark.parametrize(("size", "goal"), [(5, "right"), (7, "left")])
def test_a_walk_of_the_asked_size_is_straight(tmp_path, size, goal):
    settings = TOY | VALUES | {"env_args": {"size": size, "goal": goal}, "algo": "n-step-q", "frames": 12_000}
    mean = final_mean(tmp_path, env="tests.own_envs:Walk", **settings)
    assert mean == pytest.approx(Walk.optimum(size))


@pytest.mark.parametrize(("algo", "network"), [("a3c", "mlp"), ("a3c", "mlp-lstm"), ("a2c", "mlp-separate")])
def test_all_locks_are_opened(tmp_path, algo, network):
    """Acting at random scores 10 × (1/2 + 1/3 + 1/4) = 10.8 a game."""
    settings = TOY | {"gamma": 0.5, "algo": algo, "network": network, "frames": 40_000}
    assert final_mean(tmp_path, env="tests.own_envs:Locks", **settings) >= 0.9 * Locks.OPTIMUM


@pytest.mark.parametrize("algo", ["one-step-q", "a3c"])
def test_the_spot_is_found_in_a_picture_of_an_odd_size(tmp_path, algo):
    """Acting at random scores 3.3 a game."""
    settings = TOY | VALUES | {"gamma": 0.5, "algo": algo, "frames": 20_000, "optimizer": {"lr": 1e-3}}
    assert final_mean(tmp_path, env="tests.own_envs:Spot", **settings) >= 0.9 * Spot.OPTIMUM


@pytest.mark.parametrize("algo", ["n-step-q", "a3c"])
def test_a_picture_and_a_number_beside_it_are_used_together(tmp_path, algo):
    """With one of the two alone the best score is 5 a game."""
    settings = TOY | VALUES | {"gamma": 0.5, "algo": algo, "frames": 40_000, "optimizer": {"lr": 1e-3}}
    assert final_mean(tmp_path, env="tests.own_envs:Compass", **settings) >= 0.9 * Compass.OPTIMUM
