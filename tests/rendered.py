"""An environment whose pictures and metadata are chosen by the variable PICTURE, to be recorded."""

import os

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE = 40


def shade(t):
    """Return a picture whose left half is white, and whose right half is red."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    picture[:, SIDE // 2 :, 1:] = 0
    return picture


PICTURES = {
    "bytes": shade,
    "floats": lambda t: shade(t) / 255,
    "large floats": lambda t: shade(t).astype(np.float32),
    "grey": lambda t: shade(t)[..., 1],
    "one channel": lambda t: shade(t)[..., 1:2],
    "alpha": lambda t: np.concatenate([shade(t), shade(t)[..., :1]], axis=2),
    "channels first": lambda t: np.moveaxis(shade(t), 2, 0),
    "bools": lambda t: shade(t)[..., 1] > 0,
    "integers": lambda t: shade(t).astype(np.int64),
    "lists": lambda t: shade(t).tolist(),
    "odd": lambda t: shade(t)[:-1, :-3],
    "tiny": lambda t: shade(t)[:1, 19:22],
    "growing": lambda t: shade(t).repeat(1 + t, axis=0).repeat(1 + t, axis=1),
    "shrinking": lambda t: shade(t)[t:, t:],
    "none": lambda t: None,
    "nan": lambda t: np.full((SIDE, SIDE, 3), np.nan),
    "dictionary": lambda t: {"pixels": 3},
    "text": lambda t: "a picture",
    "empty": lambda t: np.zeros((0, 5, 3), np.uint8),
    "large numbers": lambda t: shade(t).astype(np.int16) + 300,
    "video": lambda t: np.zeros((5, SIDE, SIDE, 3), np.uint8),
    "later none": lambda t: None if t > 3 else shade(t),
    "raises": lambda t: [][t],
}
METADATA = {"nothing": None, "a list": [1], "nan": {"render_fps": float("nan")}, "text": {"render_fps": "fast"}}
METADATA |= {"bool": {"render_fps": True}, "zero": {"render_fps": 0}, "ten": {"render_fps": 10}}
METADATA |= {"half": {"render_fps": np.float32(12.5)}, "sixty": {"render_fps": 60}}


class Rendered(gymnasium.Env):
    """Twenty steps an episode."""

    observation_space, action_space = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.metadata = METADATA.get(os.environ.get("METADATA"), {"render_modes": ["rgb_array"], "render_fps": 10})
        self.render_mode = None if os.environ.get("PICTURE") == "no mode" else render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(3, np.float32), 1.0, self.t >= 20, False, {}

    def render(self):
        return PICTURES[os.environ.get("PICTURE", "bytes")](self.t)
