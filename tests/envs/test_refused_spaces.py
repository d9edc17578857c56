"""Spaces that are not supported: the wrapper that the refusal names makes a supported one, and the run then trains."""

import re
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from asyncrl.envs.gym import GymEnvironments
from asyncrl.envs.probe import probe
from asyncrl.errors import InputError

IMAGE = spaces.Box(0, 255, (5, 7, 3), np.uint8)
GREY = spaces.Box(0, 255, (5, 7), np.uint8)
TWO = spaces.Discrete(2)
VECTOR = spaces.Box(-1, 1, (2,), np.float32)


class Any(gymnasium.Env):
    """Draws observations from its space, and takes actions of its space only."""

    def __init__(self, observation_space=VECTOR, action_space=TWO):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(0)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 0.0, False, False, {}


def refusal(env):
    with pytest.raises(InputError) as caught:
        GymEnvironments("it", [env])
    (text,) = caught.value.args
    assert "\n" not in text
    assert len(text) < 900
    return text


def wrappers(text):
    """Return the calls of wrappers in a message: up to their closing bracket."""
    for found in re.finditer(r"gymnasium\.wrappers\.", text):
        call, depth = "", 0
        for character in text[found.start() :]:
            call += character
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == ")" and depth == 0:
                yield call
                break


def wrapped(env, call):
    """Return an environment in a wrapper; the name is bound again, as in a user's code."""
    names = {"gymnasium": gymnasium, "numpy": np, "env": env}
    exec(f"env = {call}", names)
    return names["env"]


def check(env):
    """Take a few steps, which warn of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environments = GymEnvironments("it", [env])
        probe(environments)
    return environments.spec


@pytest.mark.parametrize(
    ("entries", "message", "shapes"),
    [
        ({"map": GREY}, "If 'map' is a grey image, add an axis for its channel: ", [(35,), (1, 5, 7)]),
        ({"map": GREY, "speed": VECTOR}, "which has no image; make a vector of it with ", [(37,), (3, 5, 7)]),
        ({"a": spaces.Discrete(3), "b": VECTOR}, "which has no image; make a vector of it", [(5,)]),
        ({"a": IMAGE, "b": IMAGE, "speed": VECTOR}, "with 2 images: 'a', 'b'; keep one of them", [(5, 5, 7)]),
        (
            {"a": IMAGE, "b": spaces.Dict({"c": GREY})},
            "'b' of it has the observation space Dict",
            [(38, 5, 7), (3, 5, 7)],
        ),
        ({"a": IMAGE, "b": spaces.MultiBinary(4)}, "'b' of it .* which is no vector", [(7, 5, 7), (3, 5, 7)]),
        ({"a": IMAGE, "table": GREY}, "'table' of it .* which is no vector; make one of it", [(38, 5, 7), (3, 5, 7)]),
        ({"a": IMAGE, "b": spaces.Sequence(VECTOR)}, "'b' of it .* which is no vector; leave it out", [(3, 5, 7)]),
        (
            {"map": spaces.Box(0.0, 255.0, (5, 7, 3), np.float32), "speed": VECTOR},
            "'map' of it has the observation space .* Images must be bytes",
            [(5, 5, 7)],
        ),
    ],
)
def test_each_wrapper_for_a_dict_makes_a_supported_space(entries, message, shapes):
    env = Any(spaces.Dict(entries))
    text = refusal(env)
    assert re.search(message, text)
    assert [check(wrapped(env, call)).obs_shape for call in wrappers(text)] == shapes


def test_too_large_an_image_of_a_dict_names_no_wrapper_of_arrays():
    text = refusal(Any(spaces.Dict({"map": spaces.Box(0, 255, (2000, 2000, 3), np.uint8), "speed": VECTOR})))
    assert "'map' of it has observations of 12,000,000 numbers" in text
    assert "ResizeObservation" not in text


def test_long_and_unprintable_names_of_entries_are_bounded_and_escaped():
    text = refusal(Any(spaces.Dict({f"{i}\x9b" + "x" * 500: IMAGE for i in range(9)})))
    assert "\x9b" not in text


@pytest.mark.parametrize(
    ("space", "choices"),
    [
        (spaces.MultiBinary(3), (2, 2, 2)),
        (spaces.MultiBinary((2, 2)), (2, 2, 2, 2)),
        (spaces.Box(-2, 3, (2,), np.int32), (6, 6)),
        (spaces.Box(0, 255, (1,), np.uint8), (256,)),
        (spaces.Box(-1, 1, (2, 3), np.float64), ()),
        (spaces.Box(-1, 1, (), np.float32), ()),
    ],
)
def test_wrapper_for_actions_makes_a_supported_space(space, choices):
    env = Any(action_space=space)
    text = refusal(env)
    (call,) = wrappers(text)
    assert "has the action space" in text
    assert check(wrapped(env, call)).actions.choices == choices


@pytest.mark.parametrize("space", [spaces.Tuple([spaces.Discrete(2), VECTOR]), spaces.Dict({"a": spaces.Discrete(2)})])
def test_other_actions_are_refused_with_the_wrapper_that_takes_a_function(space):
    text = refusal(Any(action_space=space))
    assert "gymnasium.wrappers.TransformAction(env, function, space): the space is a supported one" in text


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary(2_000),
        spaces.Box(0, 10**9, (2,), np.int64),
        spaces.Box(-1, 1, (70_000,), np.float32),
        spaces.Discrete(10**6),
    ],
)
def test_too_many_actions_are_refused_without_a_wrapper(space):
    assert "wrappers" not in refusal(Any(action_space=space))


@pytest.mark.parametrize("algo", ["one-step-q", "n-step-q"])
def test_value_method_for_real_numbers_is_refused_with_a_wrapper_that_helps(command_line, algo):
    code, _, err = command_line("run", "--env", "Pendulum-v1", "--algo", algo, "--dry-run")
    assert (code, err.count("\n")) == (2, 1)
    (call,) = wrappers(err)
    assert "DiscretizeAction" in call
    assert check(wrapped(gymnasium.make("Pendulum-v1"), call)).actions.choices == (5,)


class Outside(Any):
    """Returns a number outside the bounds of its space in one entry."""

    def reset(self, *, seed=None, options=None):
        state, info = super().reset(seed=seed)
        return self.spoilt(state), info

    def step(self, action):
        state, *rest = super().step(action)
        return self.spoilt(state), *rest

    def spoilt(self, state):
        return {**state, "speed": np.array([0, 5], np.float32)}


def test_float_of_a_dict_outside_its_bounds_is_a_warning_that_names_the_entry():
    env = Outside(spaces.Dict({"map": IMAGE, "place": spaces.Discrete(3), "speed": VECTOR}))
    with pytest.warns(UserWarning, match="number 1 of 'speed' is 5, its bounds are -1 and 1") as caught:
        probe(GymEnvironments("it", [env]))
    assert len(caught) == 1
