"""Environments of a user whose best scores are known."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env):
    """Go from one end of a corridor to the other; the best score is ``bonus`` − 0.1 for each step but the last."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012  # as Gymnasium declares it
    action_space = spaces.Discrete(2)

    def __init__(self, size, bonus=1.0, goal="right", colours=(), render_mode=None):
        if goal not in ("left", "right"):
            raise ValueError(f"goal is {goal!r}, not left or right")
        self.size, self.bonus, self.goal, self.colours, self.render_mode = size, bonus, goal, colours, render_mode
        self.observation_space = spaces.Discrete(size)

    @staticmethod
    def optimum(size, bonus=1.0):
        return bonus - 0.1 * (size - 2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t = 0, 0
        return self.place, {}

    def step(self, action):
        is_forward = action == (1 if self.goal == "right" else 0)
        self.place, self.t = max(0, self.place + (1 if is_forward else -1)), self.t + 1
        is_there = self.place == self.size - 1
        return self.place, self.bonus if is_there else -0.1, is_there, self.t >= 50, {}

    def render(self):
        return np.full((16, 16, 3), self.size, np.uint8)


class Locks(gymnasium.Env):
    """Three numbers are shown, and are wanted, each as one part of the action; 1 for each right part, at best 30."""

    observation_space = spaces.Box(0, 1, (9,), np.float32)
    LENGTH, OPTIMUM = 10, 30.0
    FIRST = (1, 0, 5)  # of the numbers of the parts

    def __init__(self, sizes=(2, 3, 4), is_square=False):
        # the parts may be a table
        shape = (1, 3) if is_square else (3,)
        self.sizes, self.shape = np.array(sizes), shape
        self.action_space = spaces.MultiDiscrete(self.sizes.reshape(shape), start=np.reshape(self.FIRST, shape))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.draw(), {}

    def draw(self):
        self.wanted = self.np_random.integers(self.sizes)
        return np.concatenate([np.arange(n) == i for n, i in zip(self.sizes, self.wanted, strict=True)]).astype(
            np.float32
        )

    def step(self, action):
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not in {self.action_space}")
        right = int(np.sum(action.ravel() - self.FIRST == self.wanted))
        self.t += 1
        return self.draw(), float(right), self.t == self.LENGTH, False, {}


class Spot(gymnasium.Env):
    """A bright spot is in one of three parts of a picture of floats, which is wanted: 1 for each right answer."""

    LENGTH, OPTIMUM = 10, 10.0
    HEIGHT, WIDTH = 17, 23
    observation_space = spaces.Box(0, 1, (HEIGHT, WIDTH, 1), np.float64)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.draw(), {}

    def draw(self):
        self.wanted = int(self.np_random.integers(3))
        picture = self.np_random.uniform(0, 0.2, (self.HEIGHT, self.WIDTH, 1))
        row, column = self.np_random.integers(self.HEIGHT - 3), 8 * self.wanted + self.np_random.integers(4)
        picture[row : row + 3, column : column + 3] = 1
        return picture

    def step(self, action):
        is_right = action == self.wanted
        self.t += 1
        return self.draw(), float(is_right), self.t == self.LENGTH, False, {}


class Compass(gymnasium.Env):
    """The right action needs the picture and a number beside it: whether the side of a spot is the one named."""

    LENGTH, OPTIMUM = 10, 10.0
    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        {
            "side": spaces.Discrete(2),
            "map": spaces.Box(0, 255, (9, 13, 1), np.uint8),
            "noise": spaces.Box(-1, 1, (2,), np.float32),
        }
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.draw(), {}

    def draw(self):
        side, where = self.np_random.integers(2, size=2)
        self.wanted = int(side == where)
        picture = np.zeros((9, 13, 1), np.uint8)
        row, column = self.np_random.integers(6), 7 * where + self.np_random.integers(3)
        picture[row : row + 3, column : column + 3] = 255
        return {"map": picture, "noise": self.np_random.uniform(-1, 1, 2).astype(np.float32), "side": int(side)}

    def step(self, action):
        is_right = action == self.wanted
        self.t += 1
        return self.draw(), float(is_right), self.t == self.LENGTH, False, {}
