"""Networks of a user for images: they are tried with images of the type that the environment has."""

import pytest

NET = """
from torch import nn


class Net(nn.Module):
    features = 8

    def __init__(self, obs_shape):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(obs_shape[0], 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())

    def forward(self, obs):
        return self.layers(obs{conversion})
"""
ENV = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Picture(gymnasium.Env):
    action_space = spaces.Discrete(2)

    def __init__(self, dtype, high):
        self.observation_space = spaces.Box(0, high, (3, 9, 13), np.dtype(dtype))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}
"""


@pytest.fixture
def try_network(command_line, tmp_path, monkeypatch):
    """Return a function that tries a network with images of a type."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(name, conversion, dtype, high):
        (tmp_path / f"{name}.py").write_text(ENV + NET.replace("{conversion}", conversion))
        arguments = ["--env-arg", f"dtype={dtype}", "--env-arg", f"high={high}", "--network", f"{name}:Net"]
        return command_line("run", "--env", f"{name}:Picture", *arguments, "--dry-run")

    return run


def test_network_that_takes_floats_is_accepted_for_images_of_floats(try_network):
    code, out, err = try_network("of_floats", "", "float32", 1)
    assert (code, err) == (0, "")
    assert 'network = "of_floats:Net"' in out


def test_network_that_tells_bytes_from_floats_is_accepted_for_each(try_network):
    check = ".float() / {'torch.uint8': 255, 'torch.float32': 1, 'torch.bool': 1}[str(obs.dtype)]"
    for dtype, high in (("uint8", 255), ("float64", 1), ("bool", 1)):
        assert try_network(f"of_{dtype}", check, dtype, high)[0] == 0


@pytest.mark.parametrize(("dtype", "high"), [("uint8", 255), ("bool", 1)])
def test_network_that_takes_floats_is_refused_for_other_images_in_one_line(try_network, dtype, high):
    code, _, err = try_network(f"not_of_{dtype}", "", dtype, high)
    assert code == 2
    assert f"Cannot make not_of_{dtype}:Net: " in err
    assert len(err.splitlines()) == 1
