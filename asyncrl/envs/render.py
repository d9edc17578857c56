"""One environment under the evaluation protocol that also renders pictures, for ``asyncrl record``."""

import colorsys
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from asyncrl import config
from asyncrl.config import Channels
from asyncrl.envs.atari import SEEDS, SKIP, AtariEnvironments, open_emulators
from asyncrl.envs.base import Array, Environments, Spec, Step
from asyncrl.envs.gym import AnyEnv, GymEnvironments, build, load
from asyncrl.envs.pictures import Picture, PictureConverter, frames_per_second
from asyncrl.envs.registry import Factory, MinAtarGame, Registered, Rom, channel_axis, parse
from asyncrl.errors import InputError

MAX_REASON = 200  # characters of an error's text in a message


class RenderedEnvironments(Environments, Protocol):
    """One environment (B = 1) that renders pictures."""

    # playback rate of the pictures, one per step
    frames_per_second: float

    def frame(self) -> Picture:
        """Return a picture ``[H, W, 3]`` of the current state; raise InputError if rendering fails."""
        ...


def make_rendered(
    env: str, atari: config.Atari, channels: Channels = "auto", args: Mapping[str, Any] = {}
) -> RenderedEnvironments:
    """Build one environment that renders; raise InputError if it cannot render, or as ``make`` does."""
    # pictures are drawn in memory: a search for a screen and a sound card would print warnings
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    named = parse(env, args)
    if isinstance(named, Rom):
        return RenderedAtari(named.name, atari)
    if isinstance(named, MinAtarGame):
        return RenderedMinAtar(env, [build(named)], channel_axis(named, channels))
    return RenderedGym(env, _build_rendering(env, named), channels)


class RenderedAtari:
    """A game, and a second emulator with the same seeds and actions that outputs colour frames of the same game."""

    frames_per_second = 60 / SKIP
    num_envs = 1

    def __init__(self, rom: str, atari: config.Atari) -> None:
        """Open both emulators."""
        self._game = AtariEnvironments(rom, 1, training=False, atari=atari)
        self._colour = open_emulators(rom, 1, atari, native=True)
        self.spec: Spec = self._game.spec

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start a game and return ``[1, 4, S, S]``."""
        self._frame: Array
        self._frame, _ = self._colour.reset(seed=np.array([seed % SEEDS for seed in seeds if seed is not None]))
        return self._game.reset(seeds)

    def step(self, action: Array) -> Step:
        """Take ``[1]`` int64 actions."""
        self._frame, *_ = self._colour.step(action)
        return self._game.step(action)

    def frame(self) -> Picture:
        """Return ``[210, 160, 3]``."""
        return cast(Picture, self._frame[0, 0])

    def close(self) -> None:
        """Free the emulators."""
        self._game.close()
        self._colour.close()


class RenderedGym(GymEnvironments):
    """One Gymnasium environment with ``render_mode="rgb_array"``."""

    def __init__(self, name: str, env: AnyEnv, channels: Channels = "auto") -> None:
        """Wrap an environment that was built with ``render_mode="rgb_array"``."""
        super().__init__(name, [env], channels)
        self._name, self._env = name, env
        self._converter = PictureConverter()
        self.frames_per_second = frames_per_second(getattr(env, "metadata", None))

    def frame(self) -> Picture:
        """Return ``[H, W, 3]``."""
        try:
            return self._converter.convert(self._env.render())
        # a missing extra, such as pygame, raises only here
        except Exception as error:
            reason = " ".join(str(error).split())[:MAX_REASON] or type(error).__name__
            raise InputError(f"{self._name} cannot be rendered: {reason}") from error


class RenderedMinAtar(GymEnvironments):
    """One game of MinAtar. Its planes are its picture: each has a colour, and a later one covers earlier ones."""

    frames_per_second = 15.0

    def frame(self) -> Picture:
        """Return ``[10, 10, 3]``."""
        planes = self.observed[0]  # [C, 10, 10]
        colours = [colorsys.hsv_to_rgb(i / len(planes), 0.8, 1.0) for i in range(len(planes))]
        # 1 + the last plane that is set, 0 where none is
        top = (planes * np.arange(1, len(planes) + 1)[:, None, None]).max(0)
        return cast(Picture, np.array([(0, 0, 0), *colours])[top] * 255).astype(np.uint8)


def _build_rendering(env: str, named: Registered | Factory) -> AnyEnv:
    """Build with ``render_mode="rgb_array"``; a factory without this parameter must set the mode itself."""
    options: dict[str, Any] = {"render_mode": "rgb_array"}
    if isinstance(named, Factory) and not _accepts(load(named), "render_mode"):
        options = {}
    built = build(named, **options)
    if getattr(built, "render_mode", None) != "rgb_array":
        built.close()
        raise InputError(f"{env} cannot be rendered: it has no render_mode 'rgb_array'.")
    return built


def _accepts(factory: Callable[..., Any], keyword: str) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    # some callables, such as those of C, have no signature
    except (TypeError, ValueError):
        return False
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
