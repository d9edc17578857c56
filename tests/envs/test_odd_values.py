"""Environments with odd actions, numbers and factories: what is refused, and that the rest causes no warning."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from asyncrl.envs.gym import GymEnvironments, build
from asyncrl.envs.pictures import DEFAULT_RATE, frames_per_second
from asyncrl.envs.probe import probe
from asyncrl.envs.registry import Factory
from asyncrl.errors import InputError

NUMBER = 7


def nothing():
    return None


def a_class():
    return Odd


class Odd(gymnasium.Env):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, actions=None, reward=0.0, observation=(0.0, 0.0)):
        self.action_space = actions or spaces.Discrete(2)
        self.outcome = np.array(observation), reward, False, False, {}

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return self.outcome


def box(low, high):
    space = spaces.Box(-1, 1, (2,), np.float32)
    space.low, space.high = np.full(2, low, np.float32), np.full(2, high, np.float32)
    return space


@pytest.mark.parametrize(("low", "high"), [(np.nan, 1), (-1, np.nan), (1, -1)])
def test_action_space_with_impossible_bounds_is_refused(low, high):
    with pytest.raises(InputError, match="action space in which number 0 has the bounds"):
        GymEnvironments("odd", [Odd(box(low, high))])


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0, np.inf), (-1e38, 1e38)])
def test_action_space_without_bounds_is_accepted(low, high):
    envs = GymEnvironments("odd", [Odd(box(low, high))])
    envs.reset([1])
    assert envs.step(np.array([[50.0, -50.0]], np.float32)).reward == 0


@pytest.mark.parametrize("reward", [1e308, -1e308, np.float64(1e300), 10**50])
def test_reward_beyond_float32_is_infinite_without_a_warning(reward):
    envs = GymEnvironments("odd", [Odd(reward=reward)])
    envs.reset([1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert envs.step(np.zeros(1, np.int64)).reward == np.copysign(np.inf, reward)


def test_observation_beyond_float32_is_refused_without_a_warning():
    envs = GymEnvironments("odd", [Odd(observation=(1e300, 0.0))])
    envs.reset([1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="NaN or an infinity"):
            envs.step(np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("attribute", "clear"),
    [
        ("nothing", "returned None, not a gymnasium.Env"),
        ("a_class", "returned the class Odd, not a gymnasium.Env"),
        ("NUMBER", "has no callable 'NUMBER'; it is 7"),
        ("spaces", "has no callable 'spaces'; it is an object of type module"),
    ],
)
def test_factory_that_makes_no_environment_is_named_by_what_it_gave(attribute, clear):
    with pytest.raises(InputError, match=clear):
        build(Factory(__name__, attribute))


def broken(self):
    raise RuntimeError("it is not set yet")


@pytest.mark.parametrize(
    ("attributes", "clear"),
    [
        ({"observation_space": property(broken)}, "Cannot use the spaces of odd: RuntimeError: it is not set yet"),
        ({"action_space": property(broken, lambda *_: None)}, "Cannot use the spaces of odd: RuntimeError"),
        ({"observation_space": type("Space", (spaces.Dict,), {"__repr__": broken})({})}, "it is not set yet"),
        ({"unwrapped": property(broken), "step": lambda *_: None}, r"step\(\) of Child .* returned None, not 5"),
        ({"step": lambda *_: (np.zeros(2), "x" * 999, False, False, {})}, "returned 'xxx.* as reward, not a number"),
    ],
)
def test_broken_attribute_of_an_environment_is_one_short_line(attributes, clear):
    env = type("Child", (Odd,), attributes)()
    with pytest.raises(InputError, match=clear) as raised:
        probe(GymEnvironments("odd", [env]))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("rate", [10**400, -(10**400)])
def test_rate_beyond_floats_is_not_used(rate):
    assert frames_per_second({"render_fps": rate}) == DEFAULT_RATE
