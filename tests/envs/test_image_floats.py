"""Floats of images that have no place in float32."""

import warnings

import numpy as np
import pytest
from gymnasium import spaces

from asyncrl.envs.gym import GymEnvironments
from asyncrl.errors import InputError
from tests import toys

SPACE = spaces.Box(0.0, 1.0, (6, 7, 3), np.float64)


class Huge(toys.Corridor):
    """Pictures with a number beyond float32."""

    observation_space = SPACE

    def see(self):
        return np.full(SPACE.shape, 1e300)


class HugeEntry(Huge):
    """A Dict with such a picture."""

    observation_space = spaces.Dict({"map": SPACE, "speed": spaces.Box(0.0, 1.0, (1,), np.float32)})

    def see(self):
        return {"map": super().see(), "speed": np.zeros(1, np.float32)}


@pytest.mark.parametrize("make", [Huge, HugeEntry])
def test_image_with_a_number_beyond_float32_is_refused_without_a_warning(make):
    envs = GymEnvironments("huge", [make()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="an observation with NaN or an infinity"):
            envs.reset([1])
