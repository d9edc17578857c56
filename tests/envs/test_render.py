"""Pictures of a game."""

import numpy as np
import pytest

from asyncrl.config import Atari
from asyncrl.envs.make import make
from asyncrl.envs.render import film
from asyncrl.errors import InputError

LUMINANCE = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("protocol", ["paper", "sticky"])
def test_a_film_of_atari_shows_the_very_game_that_is_evaluated(protocol):
    atari = Atari(protocol=protocol)
    filmed, played = film("space_invaders", atari), make("space_invaders", 1, training=False, atari=atari)
    np.testing.assert_array_equal(filmed.reset([9]), played.reset([9]))
    rng, games = np.random.default_rng(0), 0
    while not games:
        action = rng.integers(0, 6, 1)
        step, expected = filmed.step(action), played.step(action)
        np.testing.assert_array_equal(step.obs, expected.obs)
        assert filmed.frame().shape == (210, 160, 3)
        assert (filmed.frame() @ LUMINANCE).mean() == pytest.approx(step.obs[0, 3].mean(), abs=0.1)
        games += len(step.games)
    assert filmed.frames_per_second == 15
    filmed.close()


def test_a_film_of_a_toy_shows_where_it_is():
    filmed = film("tests.toys:Corridor", Atari())
    filmed.reset([1])
    filmed.step(np.array([1]))
    assert filmed.frame()[0, :, 0].nonzero()[0].tolist() == list(range(16, 32))
    assert filmed.frames_per_second == 5


def test_a_film_of_gymnasiums_own():
    pytest.importorskip("pygame")
    filmed = film("CartPole-v1", Atari())
    filmed.reset([1])
    assert filmed.frame().shape == (400, 600, 3)
    assert filmed.frame().dtype == np.uint8
    filmed.close()


@pytest.mark.parametrize("name", ["tests.toys:endless", "tests.toys:Target"])
def test_what_has_no_pictures_is_not_filmed(name):
    with pytest.raises(InputError, match="cannot be filmed"):
        film(name, Atari())
