"""One environment as Gymnasium has it, and the conversions between its spaces and the tensors of a network."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, SupportsFloat, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from asyncrl.config import Atari, RunConfig
from asyncrl.envs.atari import AtariEnvironments
from asyncrl.envs.base import Array, Discrete, Spec
from asyncrl.envs.encoding import NotInSpace
from asyncrl.envs.gym import AnyEnv, build
from asyncrl.envs.registry import MinAtarGame, Rom, channel_axis, parse
from asyncrl.envs.spaces import actions, observations
from asyncrl.errors import InputError


class Codec(NamedTuple):
    """Conversions of one environment's observations and actions."""

    encode: Callable[[Any], Array]  # an observation of the environment to ``[*O]``; raises NotInSpace
    decode: Callable[[Any], Any]  # an action of the network to what ``env.step`` takes


class AtariGame(gymnasium.Env[Array, int]):
    """One Atari game under the evaluation protocol: whole episodes, unclipped rewards, four frames an action."""

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(self, rom: str, atari: Atari) -> None:
        """Open an emulator."""
        self._game = AtariEnvironments(rom, 1, training=False, atari=atari)
        kind = cast(Discrete, self._game.spec.actions)
        self.observation_space = spaces.Box(0, 255, self._game.spec.obs_shape, np.uint8)
        self.action_space = spaces.Discrete(kind.n)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a game and return ``[4, S, S]`` uint8."""
        super().reset(seed=seed)
        start = seed if seed is not None else int(self.np_random.integers(2**31))
        return self._game.reset([start])[0].copy(), {}

    def step(self, action: int) -> tuple[Array, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action for four frames."""
        step = self._game.step(np.array([action], np.int64))
        over, cut = bool(step.terminated[0]), bool(step.truncated[0])
        return step.successor[0].copy(), float(step.reward[0]), over, cut, {}

    def close(self) -> None:
        """Free the emulator."""
        self._game.close()


def make_single(config: RunConfig, **options: Any) -> AnyEnv:
    """Build the environment of a run as Gymnasium has it; raise InputError if that fails.

    Args:
        config: the run's settings.
        options: of ``gymnasium.make`` or the factory, such as ``render_mode``, besides the run's; Atari and MinAtar
            take none.
    """
    named = parse(config.env, config.env_args)
    if options and isinstance(named, Rom | MinAtarGame):
        raise InputError(
            f"{config.env} takes no options, so leave out {next(iter(options))}; asyncrl record makes videos."
        )
    return AtariGame(named.name, config.atari) if isinstance(named, Rom) else build(named, **options)


def codec(config: RunConfig, spec: Spec) -> Codec:
    """Return the conversions of a run's environment with these spaces; one is built, and closed."""
    named = parse(config.env, config.env_args)
    if isinstance(named, Rom):
        return Codec(partial(_frames, spec.obs_shape), int)
    single = build(named)
    try:
        channels = channel_axis(named, config.channels)
        encode = observations(single.observation_space, config.env, channels).encode
        decode = actions(single.action_space, config.env).decode
        return Codec(lambda state: np.asarray(encode(state), spec.obs_dtype), decode)
    finally:
        single.close()


def _frames(shape: tuple[int, ...], state: Any) -> Array:
    frames = np.asarray(state)
    if frames.shape != shape or frames.dtype != np.uint8:
        raise NotInSpace(f"of shape {frames.shape} and dtype {frames.dtype}, not {shape} and uint8")
    return frames
