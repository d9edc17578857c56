"""Breakout of MinAtar with the preset fast: the ball is returned after a small budget."""

import pytest

from tests.learning.runs import evaluated_means

pytestmark = [pytest.mark.learning, pytest.mark.timeout(900)]

pytest.importorskip("minatar")

FRAMES = 300_000


@pytest.mark.parametrize(("algo", "wanted"), [("a3c", 4.0), ("one-step-q", 4.0)])
def test_the_ball_is_returned(tmp_path, algo, wanted):
    """Eight environments; a mean of 30 games has a standard error of about 0.5."""
    settings = {"env": "minatar/breakout", "algo": algo, "preset": "fast", "frames": FRAMES}
    settings |= {"evaluation": {"every": FRAMES // 6, "episodes": 30}}
    means = evaluated_means(tmp_path, wanted, **settings)
    assert max(means) >= wanted, means
