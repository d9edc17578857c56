"""Environments that render pictures."""

import numpy as np
import pytest

from asyncrl.config import Atari
from asyncrl.envs.make import make
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError

LUMINANCE = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("protocol", ["paper", "sticky"])
def test_rendered_atari_plays_the_same_game_as_an_evaluation(protocol):
    atari = Atari(protocol=protocol)
    rendered, plain = make_rendered("space_invaders", atari), make("space_invaders", 1, training=False, atari=atari)
    np.testing.assert_array_equal(rendered.reset([9]), plain.reset([9]))
    rng, games = np.random.default_rng(0), 0
    while not games:
        action = rng.integers(0, 6, 1)
        step, expected = rendered.step(action), plain.step(action)
        np.testing.assert_array_equal(step.obs, expected.obs)
        assert rendered.frame().shape == (210, 160, 3)
        assert (rendered.frame() @ LUMINANCE).mean() == pytest.approx(step.obs[0, 3].mean(), abs=0.1)
        games += len(step.episodes)
    assert rendered.frames_per_second == 15
    rendered.close()


def test_rendered_factory_returns_pictures_of_its_state():
    rendered = make_rendered("tests.toys:Corridor", Atari())
    rendered.reset([1])
    rendered.step(np.array([1]))
    assert rendered.frame()[0, :, 0].nonzero()[0].tolist() == list(range(16, 32))
    assert rendered.frames_per_second == 5


def test_rendered_gymnasium_id_returns_uint8_pictures():
    pytest.importorskip("pygame")
    rendered = make_rendered("CartPole-v1", Atari())
    rendered.reset([1])
    assert rendered.frame().shape == (400, 600, 3)
    assert rendered.frame().dtype == np.uint8
    rendered.close()


@pytest.mark.parametrize("name", ["tests.toys:endless", "tests.toys:Target"])
def test_make_rendered_without_an_rgb_mode_raises(name):
    with pytest.raises(InputError, match="cannot be rendered"):
        make_rendered(name, Atari())
