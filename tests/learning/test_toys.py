"""Every learner, feed-forward and recurrent, finds the best policy of a small environment."""

import pytest

from tests.learning.runs import final_mean
from tests.toys import Corridor, Cue

pytestmark = [pytest.mark.learning, pytest.mark.timeout(180)]

VALUE_METHODS = ["one-step-q", "one-step-sarsa", "n-step-q"]
ALGOS = [*VALUE_METHODS, "a3c", "a2c"]
TOY = {"target_frames": 200, "exploration": {"anneal_frames": 4000}, "gamma": 0.9, "envs_per_thread": 4}


@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
@pytest.mark.parametrize("algo", ALGOS)
def test_a_corridor_is_walked_straight(tmp_path, algo, network):
    """The evaluated ε of 0 leaves no detours to chance; a policy is sampled, and may still take one now and then."""
    settings = TOY | {"evaluation": {"epsilon": 0.0, "episodes": 20}, "optimizer": {"lr": 5e-3}}
    mean = final_mean(tmp_path, env="tests.toys:Corridor", algo=algo, network=network, frames=12_000, **settings)
    assert mean >= (Corridor.OPTIMUM - 1e-6 if algo in VALUE_METHODS else Corridor.OPTIMUM - 0.1)


@pytest.mark.parametrize("algo", ALGOS)
def test_a_cue_is_remembered(tmp_path, algo):
    """Without a memory the best mean is 0."""
    settings = TOY | {"evaluation": {"epsilon": 0.0, "episodes": 40}, "optimizer": {"lr": 5e-3}, "t_max": 20}
    mean = final_mean(tmp_path, env="tests.toys:Cue", algo=algo, network="mlp-lstm", frames=40_000, **settings)
    assert mean >= 0.9 * Cue.OPTIMUM


def test_a_cue_cannot_be_guessed(tmp_path):
    """The same task without a memory stays unsolved, so that the test above says something."""
    # of ten guesses nine or more are right in one run of a hundred
    settings = {"evaluation": {"episodes": 100}}
    mean = final_mean(tmp_path, env="tests.toys:Cue", algo="a3c", network="mlp", frames=10_000, **settings)
    assert mean < 0.7 * Cue.OPTIMUM


@pytest.mark.parametrize("network", ["mlp", "mlp-lstm"])
def test_a_gaussian_policy_finds_its_target(tmp_path, network):
    """Never acting scores −0.83 a game of ten, acting at random −4.2; at the paper's β of 1e-4 σ vanishes too soon."""
    settings = {"optimizer": {"lr": 3e-3}, "gamma": 0.5, "entropy": 1e-2, "envs_per_thread": 4}
    mean = final_mean(tmp_path, env="tests.toys:Target", algo="a3c", network=network, frames=40_000, **settings)
    assert mean > -0.4
