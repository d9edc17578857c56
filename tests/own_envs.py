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
