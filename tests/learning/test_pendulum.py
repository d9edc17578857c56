"""Pendulum-v1 with the presets as they are: a Gaussian policy swings it up, or is well on its way."""

import pytest

from tests.learning.runs import evaluated_means

pytestmark = [pytest.mark.learning, pytest.mark.timeout(600)]

FRAMES = 800_000
RANDOM = -1_250  # mean score of random actions over 200 games; their standard deviation is 300
ENOUGH = RANDOM + 300  # a mean of 20 games has a standard error of 70


def test_the_pendulum_swings_up(tmp_path):
    settings = {"env": "Pendulum-v1", "algo": "a3c", "frames": FRAMES, "envs_per_thread": 4}
    means = evaluated_means(tmp_path, ENOUGH, **settings, evaluation={"every": FRAMES // 5, "episodes": 20})
    assert max(means) > ENOUGH, means
