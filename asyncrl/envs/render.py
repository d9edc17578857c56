"""One game under the evaluation protocol that can be looked at: what ``asyncrl record`` films."""

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from asyncrl import config
from asyncrl.envs.atari import SEEDS, SKIP, AtariEnvironments, emulators
from asyncrl.envs.base import Array, Environments, Spec, Step
from asyncrl.envs.gym import AnyEnv, GymEnvironments, build, load
from asyncrl.envs.registry import Factory, Registered, Rom, resolve
from asyncrl.errors import InputError


class Filmed(Environments, Protocol):
    """One environment, and a picture of it."""

    frames_per_second: int  # that look natural

    def frame(self) -> NDArray[np.uint8]:
        """Return ``[H, W, 3]``, the state that is to be acted on next; raise InputError where there is no picture."""
        ...


def film(env: str, atari: config.Atari) -> Filmed:
    """Build one environment with pictures; raise InputError where it has none, or as ``make`` does."""
    os.environ.setdefault(
        "SDL_AUDIODRIVER", "dummy"
    )  # pygame looks for a sound card, and complains where there is none
    named = resolve(env)
    if isinstance(named, Rom):
        return FilmedAtari(named.name, atari)
    return FilmedGym(env, _rendered(env, named))


class FilmedAtari:
    """A game and, in colour, its twin: emulators with the same seeds and actions play the same game."""

    frames_per_second = 60 // SKIP
    num_envs = 1

    def __init__(self, rom: str, atari: config.Atari) -> None:
        """Open both."""
        self._played = AtariEnvironments(rom, 1, training=False, atari=atari)
        self._twin = emulators(rom, 1, atari, native=True)
        self.spec: Spec = self._played.spec

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start a game and return ``[1, 4, 84, 84]``."""
        self._seen: Array
        self._seen, _ = self._twin.reset(seed=np.array([seed % SEEDS for seed in seeds if seed is not None]))
        return self._played.reset(seeds)

    def step(self, action: Array) -> Step:
        """Take ``[1]`` int64 actions."""
        self._seen, *_ = self._twin.step(action)
        return self._played.step(action)

    def frame(self) -> NDArray[np.uint8]:
        """Return ``[210, 160, 3]``."""
        return cast(NDArray[np.uint8], self._seen[0, 0])

    def close(self) -> None:
        """Free the emulators."""
        self._played.close()
        self._twin.close()


class FilmedGym(GymEnvironments):
    """A Gymnasium environment that was built to render."""

    def __init__(self, name: str, env: AnyEnv) -> None:
        """Take an environment of ``render_mode="rgb_array"``."""
        super().__init__(name, [env])
        self._name, self._env = name, env
        self.frames_per_second = int(env.metadata.get("render_fps") or 30)

    def frame(self) -> NDArray[np.uint8]:
        """Return ``[H, W, 3]``."""
        try:
            picture = np.asarray(self._env.render())
        except Exception as error:  # a missing extra, such as pygame, shows only here
            raise InputError(f"{self._name} cannot be filmed: {error}") from error
        if picture.ndim != 3 or picture.shape[-1] != 3:
            raise InputError(f"{self._name} cannot be filmed: it rendered shape {picture.shape}, not [H, W, 3].")
        return picture.astype(np.uint8, copy=False)


def _rendered(env: str, named: Registered | Factory) -> AnyEnv:
    options: dict[str, Any] = {"render_mode": "rgb_array"}
    if isinstance(named, Factory) and not _accepts(load(named), "render_mode"):
        options = {}
    built = build(named, **options)
    if "rgb_array" not in built.metadata.get("render_modes", ()) or built.render_mode != "rgb_array":
        built.close()
        raise InputError(f"{env} cannot be filmed: it has no render_mode 'rgb_array'.")
    return built


def _accepts(factory: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(factory).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
