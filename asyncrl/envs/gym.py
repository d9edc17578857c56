"""Gymnasium environments and a user's factories: B environments, stepped and reset in a loop."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from asyncrl.envs.base import Array, Episode, Spec, Step
from asyncrl.envs.registry import Factory, Registered
from asyncrl.envs.spaces import actions, observations
from asyncrl.errors import InputError, nearest

AnyEnv: TypeAlias = gymnasium.Env[Any, Any]


def build(named: Registered | Factory, **options: Any) -> AnyEnv:
    """Build one environment; raise InputError with the reason if that fails."""
    if not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        # SDL, which environments draw with, would print that it finds no screen
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if isinstance(named, Registered):
        return _call(named.id, lambda: gymnasium.make(named.id, disable_env_checker=True, **options))
    name = f"{named.module}:{named.attribute}"
    factory = load(named)
    env = _call(name, lambda: factory(**options))
    if not isinstance(env, gymnasium.Env):
        raise InputError(f"{name} returned {type(env).__name__}, not a gymnasium.Env.")
    return env


def load(named: Factory) -> Callable[..., Any]:
    """Import a user's factory; the working directory is searched too."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(named.module)
    except Exception as error:
        raise InputError(f"Cannot import {named.module!r}: {_reason(error)}") from error
    factory: Callable[..., Any] | None = getattr(module, named.attribute, None)
    if not callable(factory):
        near = nearest(named.attribute, [name for name, value in vars(module).items() if callable(value)])
        raise InputError(f"{named.module!r} has no callable {named.attribute!r}.{near}")
    return factory


def _call(name: str, make: Callable[[], AnyEnv]) -> AnyEnv:
    try:
        return make()
    # causes: a missing extra, a removed version, an error in a user's factory
    except Exception as error:
        raise InputError(f"Cannot make {name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class GymEnvironments:
    """B environments of one kind."""

    def __init__(self, name: str, envs: Sequence[AnyEnv]) -> None:
        """Wrap B new environments; raise InputError if their spaces are not supported."""
        self._envs = envs
        self.num_envs = len(envs)
        self._observations = observations(envs[0].observation_space, name)
        self._actions = actions(envs[0].action_space, name)
        self.spec = Spec(self._observations.shape, self._observations.dtype, self._actions.kind, frames_per_step=1)
        self._obs = self._empty()  # [B, *O]  the last observations
        self._score = [0.0] * self.num_envs
        self._length = [0] * self.num_envs  # steps

    def _empty(self) -> Array:
        return np.empty((self.num_envs, *self.spec.obs_shape), self.spec.obs_dtype)

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start episodes from their seeds and return ``[B, *O]``."""
        self._obs = self._obs.copy()
        for i, (env, seed) in enumerate(zip(self._envs, seeds, strict=True)):
            if seed is not None:
                self._obs[i] = self._observations.encode(env.reset(seed=int(seed))[0])
                self._score[i], self._length[i] = 0.0, 0
        return self._obs

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 or ``[B, A]`` float32 actions."""
        obs = successor = self._obs = self._empty()
        reward = np.empty(self.num_envs, np.float32)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        episodes: list[Episode] = []
        for i, env in enumerate(self._envs):
            state, gain, over, cut, _ = env.step(self._actions.decode(action[i]))
            obs[i] = self._observations.encode(state)
            reward[i] = gain
            self._score[i] += float(gain)
            self._length[i] += 1
            if over or cut:
                terminated[i], truncated[i] = over, cut and not over
                episodes.append(Episode(i, self._score[i], self._length[i], completed=bool(over)))
                self._score[i], self._length[i] = 0.0, 0
        if episodes:
            successor = obs.copy()
            for episode in episodes:
                obs[episode.env] = self._observations.encode(self._envs[episode.env].reset()[0])
            successor[terminated] = obs[terminated]
        return Step(obs, reward, terminated, truncated, successor, tuple(episodes))

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()
