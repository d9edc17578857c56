"""Images of any size and kind of number, the axis of their channels, and what is refused."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from asyncrl.config import Atari
from asyncrl.envs.base import Discrete, Spec
from asyncrl.envs.gym import GymEnvironments
from asyncrl.envs.make import describe
from asyncrl.envs.registry import kind
from asyncrl.errors import InputError
from asyncrl.networks import factory
from asyncrl.training import job_builder
from tests import toys


class Picture(toys.Corridor):
    """A corridor whose observation is a given image."""

    def __init__(self, space, image=None):
        super().__init__()
        self.observation_space = space
        self.image = space.sample() if image is None else image

    def see(self):
        return self.image


def fractions():
    return Picture(spaces.Box(0.0, 1.0, (10, 10, 10), np.float32))


def levels():
    return Picture(spaces.Box(0, 10, (7, 7, 3), np.uint8))


def observe(space, image=None, channels="auto"):
    envs = GymEnvironments("picture", [Picture(space, image)], channels)
    return envs.reset([1])[0]


@pytest.mark.parametrize(
    ("shape", "channels", "ours"),
    [
        ((10, 10, 4), "auto", (4, 10, 10)),
        ((10, 10, 7), "auto", (7, 10, 10)),
        ((7, 10, 10), "auto", (7, 10, 10)),
        ((64, 10, 10), "auto", (64, 10, 10)),
        ((10, 10, 64), "auto", (64, 10, 10)),
        ((12, 9, 5), "auto", (5, 12, 9)),
        ((5, 12, 9), "auto", (5, 12, 9)),
        ((10, 10, 10), "first", (10, 10, 10)),
        ((3, 8, 4), "auto", (4, 3, 8)),
        ((3, 8, 4), "first", (3, 8, 4)),
        ((84, 84, 4), "first", (84, 84, 4)),
    ],
)
def test_the_channels_are_found_or_asked_for(shape, channels, ours):
    space = spaces.Box(0, 255, shape, np.uint8)
    image = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    seen = observe(space, image, channels)
    assert seen.shape == ours
    np.testing.assert_array_equal(seen, image if ours == shape and channels != "last" else np.moveaxis(image, -1, 0))


def test_channels_last_moves_the_last_axis_of_equal_ones():
    space = spaces.Box(0, 255, (10, 10, 10), np.uint8)
    image = space.sample()
    np.testing.assert_array_equal(observe(space, image, "last"), np.moveaxis(image, -1, 0))


@pytest.mark.parametrize("shape", [(10, 10, 10), (7, 6, 7)])
def test_sizes_that_do_not_tell_the_channels_are_refused_with_the_setting(shape):
    with pytest.raises(InputError, match="do not tell which axis has the channels; set channels to first or last"):
        observe(spaces.Box(0, 255, shape, np.uint8))


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (spaces.Box(0.0, 1.0, (6, 7, 3), np.bool_), "bool"),
        (spaces.Box(0, 1, (6, 7, 3), np.uint8), "bool"),
        (spaces.Box(0, 1, (6, 7, 3), np.int64), "bool"),
        (spaces.Box(0, 10, (6, 7, 3), np.uint8), "float32"),
        (spaces.Box(-3, 3, (6, 7, 3), np.int8), "float32"),
        (spaces.Box(0, 255, (6, 7, 3), np.int32), "uint8"),
        (spaces.Box(0.0, 1.0, (6, 7, 3), np.float64), "float32"),
    ],
)
def test_numbers_keep_their_value_and_bytes_stay_bytes(space, dtype):
    image = space.sample()
    seen = observe(space, image)
    assert seen.dtype == dtype
    np.testing.assert_allclose(seen, np.moveaxis(image, -1, 0), rtol=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0.0, 255.0, (6, 7, 3), np.float32),
        spaces.Box(-1.0, 1.0, (6, 7, 3), np.float32),
        spaces.Box(-np.inf, np.inf, (6, 7, 3), np.float32),
        spaces.Box(0, 1000, (6, 7, 3), np.int32),
    ],
)
def test_other_numbers_are_refused_with_the_way_out(space):
    with pytest.raises(InputError, match=r"Images must be bytes from 0 to 255 \(uint8\), floats from 0 to 1") as caught:
        observe(space)
    assert "\n" not in str(caught.value)


def test_a_plane_that_holds_another_number_is_refused():
    with pytest.raises(InputError, match="with the value 2, but its space has 0 and 1"):
        observe(spaces.Box(0, 1, (6, 7, 3), np.uint8), np.full((6, 7, 3), 2, np.uint8))


def test_an_image_with_nan_is_refused():
    with pytest.raises(InputError, match="an observation with NaN or an infinity"):
        observe(spaces.Box(0.0, 1.0, (6, 7, 3), np.float32), np.full((6, 7, 3), np.nan, np.float32))


def test_floats_outside_of_their_bounds_are_a_warning():
    image = np.full((6, 7, 3), 200.0, np.float32)
    envs = GymEnvironments("picture", [Picture(spaces.Box(0.0, 1.0, (6, 7, 3), np.float32), image)])
    from asyncrl.envs.probe import probe

    with pytest.warns(UserWarning, match="outside its observation_space: number 0 is 200, its bounds are 0 and 1"):
        probe(envs)


def test_resolve_of_an_own_image_takes_the_presets_of_images_and_a_network_that_fits():
    config, spec = job_builder.resolve({"env": "tests.envs.test_images:levels"})
    assert spec == Spec((3, 7, 7), "float32", Discrete(2), frames_per_step=1)
    assert kind(config.env, spec) == "image"
    assert (config.network, config.frames, config.target_frames) == ("conv", 1_000_000, 1_000)


def test_resolve_passes_the_setting_channels_to_the_environment():
    with pytest.raises(InputError, match="--set channels=last"):
        job_builder.resolve({"env": "tests.envs.test_images:fractions"})
    config, spec = job_builder.resolve({"env": "tests.envs.test_images:fractions", "channels": "last"})
    assert spec.obs_shape == (10, 10, 10)
    assert describe(config.env, Atari(), "last") == spec


@pytest.mark.parametrize("dtype", ["bool", "float32", "uint8"])
def test_only_bytes_are_divided_by_255(dtype):
    torso = factory.build("conv", (3, 7, 7), actions=2, continuous=False, policy=True).body.torso
    obs = torch.ones(1, 3, 7, 7, dtype=getattr(torch, dtype))
    kept = obs.clone()
    expected = torso.layers(torch.full((1, 3, 7, 7), 1 / 255 if dtype == "uint8" else 1.0))
    torch.testing.assert_close(torso(obs), expected)
    assert torch.equal(obs, kept)


@pytest.mark.parametrize(
    "shape", [(5, 3, 3), (7, 5, 5), (1, 12, 12), (2, 13, 13), (3, 64, 64), (3, 210, 160), (1, 512, 512), (3, 35, 84)]
)
def test_the_adapted_network_fits_any_picture(shape):
    net = factory.build(factory.fit("conv", shape), shape, actions=2, continuous=False, policy=True)
    output, _ = net(torch.rand(1, 1, *shape), ())
    assert output.value.shape == (1, 1)
    assert sum(parameter.numel() for parameter in net.parameters()) < 2_000_000


@pytest.mark.parametrize(
    ("shape", "network"),
    [
        ((4, 84, 84), "nips"),
        ((3, 64, 96), "nips"),
        ((4, 10, 10), "conv"),
        ((3, 35, 84), "conv"),
        ((3, 210, 160), "conv"),
    ],
)
def test_auto_is_the_papers_network_for_pictures_of_about_its_size(shape, network):
    assert factory.fit("auto", shape) == network


@pytest.mark.parametrize(
    ("network", "shape", "what"),
    [
        ("conv", (3, 2, 2), "too small for network 'conv'; resize"),
        ("conv", (3, 2, 200), "too small for network 'conv'; resize"),
        ("conv", (3, 4, 3000), "too large for network 'conv'; resize"),
        ("nips", (3, 12, 12), "too small for network 'nips'; use conv, which adapts to their size, or resize"),
        ("nips", (3, 1000, 1000), "too large for network 'nips'; use conv"),
        ("minatar", (4, 84, 84), "too large for network 'minatar'; use conv"),
    ],
)
def test_fit_of_a_picture_of_another_size_is_refused(network, shape, what):
    with pytest.raises(InputError, match=what) as caught:
        factory.fit(network, shape)
    assert "\n" not in str(caught.value)
