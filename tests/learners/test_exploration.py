from collections import Counter

import numpy as np
import pytest
import torch

from asyncrl.learners.exploration import EpsilonGreedy, draw_final

FINAL, PROBABILITY = (0.1, 0.01, 0.5), (0.4, 0.3, 0.3)


def shares(epsilon: float) -> list[float]:
    """Return how often each of four actions is chosen where the third is best."""
    torch.manual_seed(1)
    q = torch.tensor([0.0, -1.0, 5.0, 4.9]).expand(40_000, 4)
    chosen = EpsilonGreedy((epsilon,), 0).choose(q, torch.tensor([epsilon]), torch.default_generator)
    return (chosen.bincount(minlength=4) / len(chosen)).tolist()


def test_without_exploration_the_best_is_chosen_always():
    assert shares(0.0) == [0, 0, 1, 0]


def test_with_epsilon_1_any_action_is_as_likely_as_another():
    assert shares(1.0) == pytest.approx([0.25] * 4, abs=0.01)


def test_epsilon_is_the_probability_of_any_action_the_best_included():
    assert shares(0.4) == pytest.approx([0.1, 0.1, 0.7, 0.1], abs=0.01)


def test_each_environment_has_its_own_epsilon():
    torch.manual_seed(1)
    q, epsilon = torch.tensor([[0.0, 1.0]] * 2).repeat(5000, 1), torch.tensor([0.0, 1.0]).repeat(5000)
    chosen = EpsilonGreedy((0.0, 1.0), 0).choose(q, epsilon, torch.default_generator)
    assert chosen[0::2].float().mean() == 1
    assert 0.45 < chosen[1::2].float().mean() < 0.55


def test_epsilon_falls_in_a_straight_line_from_1():
    exploration = EpsilonGreedy((0.1, 0.5), 1000)
    line = [exploration.epsilon(T).tolist() for T in (0, 250, 500, 1000, 5000)]
    assert line == [pytest.approx(pair) for pair in ([1, 1], [0.775, 0.875], [0.55, 0.75], [0.1, 0.5], [0.1, 0.5])]
    assert EpsilonGreedy((0.05,), 0).epsilon(0).tolist() == pytest.approx([0.05])


@pytest.mark.parametrize("seed", range(20))
def test_final_rates_are_stratified(seed):
    drawn = Counter(draw_final(16, FINAL, PROBABILITY, np.random.default_rng(seed)))
    for rate, probability in zip(FINAL, PROBABILITY, strict=True):
        assert abs(drawn[rate] - 16 * probability) < 1  # 6 or 7, 4 or 5, 4 or 5


def test_two_actors_never_draw_the_same_rare_rate_and_each_rate_keeps_its_probability():
    pairs = [draw_final(2, FINAL, PROBABILITY, np.random.default_rng(seed)) for seed in range(3000)]
    assert not any(pair in ((0.01, 0.01), (0.5, 0.5)) for pair in pairs)
    for place in (0, 1):  # whichever of the two an actor is
        drawn = Counter(pair[place] for pair in pairs)
        assert [drawn[rate] / len(pairs) for rate in FINAL] == pytest.approx(PROBABILITY, abs=0.03)


def test_the_same_seed_draws_the_same_rates():
    one, again, other = (draw_final(16, FINAL, PROBABILITY, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again != other
