"""Options of ``make_env`` for the environments of the package, which take none."""

import pytest

from asyncrl.config import build
from asyncrl.envs.single import make_single
from asyncrl.errors import InputError


@pytest.mark.parametrize("env", ["pong", "MinAtar/Breakout-v0"])
def test_make_single_with_an_option_that_a_game_does_not_take_is_refused(env):
    with pytest.raises(InputError, match=f"{env} takes no options, so leave out render_mode; asyncrl record"):
        make_single(build({"env": env}), render_mode="human")
