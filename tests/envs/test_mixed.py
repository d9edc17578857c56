"""Observations that are a Dict of one image and vectors: numbers become planes of the image."""

import numpy as np
import pytest
from gymnasium import spaces

import asyncrl
from asyncrl.config import Atari
from asyncrl.envs.base import Discrete, Spec
from asyncrl.envs.encoding import NotInSpace
from asyncrl.envs.make import describe
from asyncrl.envs.registry import kind
from asyncrl.envs.spaces import observations
from asyncrl.errors import InputError

COMPASS = "tests.own_envs:Compass"
IMAGE = spaces.Box(0, 255, (5, 7, 3), np.uint8)
SPACE = spaces.Dict({"map": IMAGE, "place": spaces.Box(-9, 9, (2,), np.float64), "room": spaces.Discrete(3, start=1)})
STATE = {"map": np.full((5, 7, 3), 51, np.uint8), "place": np.array([-4.0, 0.5]), "room": 2}


def test_numbers_are_planes_behind_the_channels():
    encoded = observations(SPACE, "it").encode(STATE)
    assert (encoded.shape, encoded.dtype) == ((3 + 2 + 3, 5, 7), np.float32)
    assert (encoded == encoded[:, :1, :1]).all()
    np.testing.assert_allclose(encoded[:, 0, 0], [0.2, 0.2, 0.2, -4.0, 0.5, 0, 1, 0], rtol=1e-6)


def test_spec_is_that_of_an_image():
    spec = describe(COMPASS, Atari())
    assert spec == Spec((1 + 2 + 2, 9, 13), "float32", Discrete(2), 1)
    assert kind(COMPASS, spec) == "image"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"map": STATE["map"][1:]}, r"whose 'map' is of shape \(4, 7, 3\), but its space has shape \(5, 7, 3\)"),
        ({"room": 0}, r"whose 'room' is 0, but its space has the states 1 … 3"),
        ({"key": 1}, r"with the keys 'map', 'place', 'room', 'key', but its space has the keys 'map', 'place', 'room'"),
    ],
)
def test_state_that_is_not_in_the_space_is_named(changed, message):
    with pytest.raises(NotInSpace, match=message):
        observations(SPACE, "it").encode(STATE | changed)
    with pytest.raises(
        NotInSpace, match="of type ndarray, but its space is a Dict with the keys 'map', 'place', 'room'"
    ):
        observations(SPACE, "it").encode(STATE["map"])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": IMAGE, "b": spaces.Box(0, 1, (2**16,))}, "each number of a vector is a plane of the image"),
    ],
)
def test_dict_with_too_many_numbers_is_refused(entries, message):
    with pytest.raises(InputError, match=message):
        observations(spaces.Dict(entries), "it")


@pytest.mark.learning
@pytest.mark.timeout(100)
def test_run_trains_and_its_policy_takes_the_dict(tmp_path):
    settings = {"threads": 1, "frames": 60, "progress": False, "evaluation": {"episodes": 0}}
    policy = asyncrl.train("a3c", COMPASS, results=tmp_path, **settings).load("last")
    observation, _ = policy.make_env().reset(seed=1)
    assert policy.act(observation, deterministic=True) in (0, 1)
    with pytest.raises(InputError, match=r"act\(\) got an observation of type ndarray, but its space is a Dict"):
        policy.act(observation["map"])
