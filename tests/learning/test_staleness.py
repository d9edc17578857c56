"""The negative control of simulated time: gradients that are late by a hundred updates harm learning."""

import numpy as np
import pytest

from asyncrl.events import EpisodeEnd
from asyncrl.runtime.simulation import Simulation
from tests.runtime.test_simulated_time import COSTS, simulate

pytestmark = [pytest.mark.learning, pytest.mark.timeout(900)]


def last_scores(seed, delay):
    """Return the mean score of the last third of the episodes of A3C on CartPole-v1 with four simulated workers."""
    simulation = Simulation(COSTS, jitter=0.1, delay=delay)
    table = {"env": "CartPole-v1", "network": "mlp", "algo": "a3c", "threads": 4, "frames": 30_000, "seed": seed}
    scores = [event.score for event in simulate(simulation=simulation, **table)[0].events(EpisodeEnd)]
    return float(np.mean(scores[-len(scores) // 3 :]))


def test_delay_of_a_hundred_updates_harms_learning():
    prompt, late = (np.mean([last_scores(seed, delay) for seed in (1, 2, 3)]) for delay in (0, 100))
    assert late < 0.6 * prompt
