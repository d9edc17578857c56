"""Environments that break what Gymnasium says, each by one thing: ``tests.envs.wrong:NAME``."""

import random
from functools import partial

import gymnasium
import numpy as np
from gymnasium import spaces

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
GOOD = np.array([0.1, 0.2, 0.3], np.float32)


class Given(gymnasium.Env):
    """Returns given values: ``seen``, and ``outcome`` in place of reward, terminated, truncated, info."""

    closed = 0  # environments, in this process

    def __init__(self, seen=GOOD, space=VECTOR, start=None, outcome=None, late=0, actions=None):
        self.observation_space, self.action_space = space, actions or spaces.Discrete(2)
        self.seen, self.start, self.outcome, self.late = seen, start, outcome, late
        self.steps = self.t = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        first = GOOD if self.late else self.seen
        return (first, {}) if self.start is None else self.start

    def step(self, action):
        self.t, self.steps = self.t + 1, self.steps + 1
        over = self.t >= 10
        if self.steps < self.late:
            return GOOD, 1.0, over, False, {}
        return self.seen, *((1.0, over, False, {}) if self.outcome is None else self.outcome)

    def close(self):
        Given.closed += 1


class NoSeed(gymnasium.Env):
    observation_space, action_space = VECTOR, spaces.Discrete(2)

    def reset(self):
        return GOOD, {}


class NoSpaces(gymnasium.Env):
    pass


class Blank(Exception):
    def __str__(self):
        return "\n\n  \nthe disk of maps is missing\nmore"


class Base(BaseException):
    pass


def raising(error):
    raise error


def exits():
    raise SystemExit("no licence")


class Raises(Given):
    def __init__(self, error, late=0):
        super().__init__(late=late)
        self.error = error

    def step(self, action):
        if self.steps >= self.late:
            raise self.error
        return super().step(action)


class Draws(Given):
    """Draws from Python's and numpy's global random numbers."""

    def step(self, action):
        random.random()
        np.random.rand()
        return super().step(action)


def _grown(value):
    return np.full((36, 36, 3), value)


WRONG = {
    # name: (factory, what the one line must name)
    "no_info": (partial(Given, start=GOOD), "reset() of Given (tests/envs/wrong.py) returned an array of shape (3,)"),
    "info_none": (partial(Given, start=(GOOD, None)), "reset() of Given"),
    "three_from_reset": (partial(Given, start=(GOOD, {}, 1)), "returned 3 values"),
    "four_values": (
        partial(Given, outcome=(1.0, False, {})),
        "step() of Given (tests/envs/wrong.py) returned 4",
    ),
    "six_values": (partial(Given, outcome=(1.0, False, False, {}, 0)), "returned 6 values, not 5"),
    "reward_text": (partial(Given, outcome=("1", False, False, {})), "'1' as reward, not a number"),
    "reward_none": (partial(Given, outcome=(None, False, False, {})), "None as reward"),
    "reward_array": (partial(Given, outcome=(np.ones(1), False, False, {})), "an array of shape (1,) as reward"),
    "reward_nan": (partial(Given, outcome=(float("nan"), False, False, {})), "returned a reward that is nan"),
    "reward_inf": (
        partial(Given, outcome=(1e300, False, False, {})),
        "returned a reward that is inf in float32",
    ),
    "terminated_none": (partial(Given, outcome=(1.0, None, False, {})), "None as terminated, not a bool"),
    "truncated_info": (partial(Given, outcome=(1.0, False, {}, {})), "object of type dict as truncated"),
    "info_list": (partial(Given, outcome=(1.0, False, False, [])), "object of type list as info"),
    "nan": (partial(Given, GOOD * np.nan), "NaN or an infinity"),
    "nan_third": (
        partial(Given, GOOD * np.nan, late=3),
        "step() of Given (tests/envs/wrong.py) returned an",
    ),
    "overflow": (partial(Given, np.array([0, 1e300, 0])), "NaN or an infinity"),
    "long": (partial(Given, np.zeros(4)), "of shape (4,), but its space has shape (3,)"),
    "scalar": (partial(Given, 0.5), "of shape (), but its space has shape (3,)"),
    "ragged": (partial(Given, [[1], [1, 2], 3]), "of type list that is no array"),
    "words": (partial(Given, ["a", "b", "c"]), "which holds no real numbers"),
    "complex": (partial(Given, GOOD * 1j), "which holds no real numbers"),
    "bytes_fraction": (partial(Given, _grown(0.9), IMAGE), "with the value 0.9"),
    "bytes_300": (partial(Given, _grown(300), IMAGE), "with the value 300"),
    "bytes_minus": (partial(Given, _grown(-1), IMAGE), "with the value -1"),
    "bytes_nan": (partial(Given, _grown(np.nan), IMAGE), "with the value nan"),
    "channels_moved": (partial(Given, np.zeros((3, 36, 36), np.uint8), IMAGE), "of shape (3, 36, 36)"),
    "state_outside": (partial(Given, 5, spaces.Discrete(5)), "5, but its space has the states 0 … 4"),
    "state_before": (partial(Given, 9, spaces.Discrete(5, start=10)), "states 10 … 14"),
    "state_half": (partial(Given, 1.5, spaces.Discrete(5)), "1.5, but"),
    "state_array": (partial(Given, np.array([1]), spaces.Discrete(5)), "of shape (1,)"),
    "many_states": (partial(Given, 5, spaces.Discrete(2**20)), "1,048,576 states"),
    "many_numbers": (partial(Given, 5, spaces.Box(0, 1, (2**20,))), "1,048,576 numbers"),
    "many_actions": (partial(Given, actions=spaces.Discrete(2**30)), "at most 65,536 actions"),
    "no_numbers": (partial(Given, np.zeros(0), spaces.Box(0, 1, (0,))), "hold no number"),
    "large_image": (partial(Given, 0, spaces.Box(0, 255, (3000, 3000, 3), np.uint8)), "ResizeObservation"),
    "small_image": (partial(Given, np.zeros((2, 2, 3)), spaces.Box(0, 255, (2, 2, 3), np.uint8)), "ResizeObservation"),
    "equal_axes": (partial(Given, 0, spaces.Box(0, 255, (9, 9, 9), np.uint8)), "set channels to first or last"),
    "signed_image": (partial(Given, 0, spaces.Box(-1, 1, (36, 36, 3), np.float32)), "floats from 0 to 1"),
    "grey_image": (partial(Given, 0, spaces.Box(0, 255, (36, 36), np.uint8)), "ReshapeObservation(env, (36, 36, 1))"),
    "no_spaces": (NoSpaces, "has no observation_space of gymnasium.spaces"),
    "no_seed": (NoSeed, "reset() of NoSeed (tests/envs/wrong.py) takes no seed"),
    "exits": (exits, "called sys.exit('no licence') (tests/envs/wrong.py:"),
    "blank_line": (partial(raising, Blank()), "Blank: the disk of maps is missing more (tests/envs/wrong.py:"),
    "interrupt": (partial(raising, KeyboardInterrupt("no")), "KeyboardInterrupt: no (tests/envs/wrong.py:"),
    "base_exception": (partial(raising, Base("stop")), "Base: stop (tests/envs/wrong.py:"),
    "long_text": (partial(raising, ValueError("x" * 10**6)), "ValueError: xxx"),
    "escape": (partial(raising, ValueError("\x1b[31mcaf\udce9")), "ValueError: \\u001b[31mcaf\\udce9"),
    "step_raises": (
        partial(Raises, ZeroDivisionError("by hand")),
        "step() of Raises (tests/envs/wrong.py) failed: Z",
    ),
    "step_exits": (partial(Raises, SystemExit(3)), "called sys.exit(3)"),
}
RIGHT = {
    "float64": partial(Given, np.array([0.1, 0.2, 0.3])),
    "whole": partial(Given, [1, 0, -1]),
    "bools": partial(Given, np.array([True, False, True])),
    "bytes_as_floats": partial(Given, _grown(255.0), IMAGE),
    "bytes_as_ints": partial(Given, _grown(7), IMAGE),
    "bytes_as_bools": partial(Given, _grown(True), IMAGE),
    "state_numpy": partial(Given, np.int64(4), spaces.Discrete(5)),
    "state_whole_float": partial(Given, 4.0, spaces.Discrete(5)),
    "reward_numpy": partial(Given, outcome=(np.array(2), np.bool_(False), np.array(False), {})),
    "reward_bool": partial(Given, outcome=(True, False, False, {})),
}
OTHERS = {
    "outside": partial(Given, GOOD * 20),
    "late_nan": partial(Given, GOOD * np.nan, late=200),
    "late_shape": partial(Given, np.zeros(4), late=200),
    "late_four": partial(Given, outcome=(1.0, False, {}), late=200),
    "late_base": partial(Raises, Base("stop"), late=200),
    "late_rewards": partial(Given, outcome=(float("nan"), False, True, {}), late=10),
    "draws": Draws,
}
globals().update({name: factory for name, (factory, _) in WRONG.items()} | RIGHT | OTHERS)
