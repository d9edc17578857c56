"""Breakout of MinAtar with the presets: A3C learns to return the ball within a small budget."""

import pytest

from tests.learning.runs import evaluated_means

pytestmark = [pytest.mark.learning, pytest.mark.timeout(900)]

pytest.importorskip("minatar")

RANDOM = 0.5  # mean score of random actions
FRAMES = 300_000


@pytest.mark.parametrize(("algo", "wanted"), [("a3c", 4.0), ("n-step-q", 2.5)])
def test_the_ball_is_returned(tmp_path, algo, wanted):
    """Eight environments; a mean of 30 games has a standard error of about 0.5."""
    settings = {"env": "minatar/breakout", "algo": algo, "preset": "fast", "frames": FRAMES}
    settings |= {"evaluation": {"every": FRAMES // 6, "episodes": 30}}
    means = evaluated_means(tmp_path, wanted, **settings)
    assert max(means) >= wanted, means
