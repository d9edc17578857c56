"""Gymnasium environments and a user's factories: B environments, stepped and reset in a loop."""

import importlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, TypeAlias

import gymnasium
import numpy as np

from asyncrl.config import Channels
from asyncrl.envs.base import Array, Episode, Spec, Step
from asyncrl.envs.contract import check_reset, check_step, described, owner, refuse, user_code
from asyncrl.envs.encoding import NotInSpace, Outside
from asyncrl.envs.minatar import make_game
from asyncrl.envs.registry import Factory, MinAtarGame, Registered
from asyncrl.envs.spaces import actions, observations
from asyncrl.errors import InputError, nearest

FLOAT32_MAX = float(np.finfo(np.float32).max)
AnyEnv: TypeAlias = gymnasium.Env[Any, Any]


def build(named: MinAtarGame | Registered | Factory, **options: Any) -> AnyEnv:
    """Build one environment with its arguments and these options; raise InputError with the reason if that fails."""
    if not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        # SDL, which environments draw with, would print that it finds no screen
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if isinstance(named, MinAtarGame):
        return make_game(named.id)
    name = named.id if isinstance(named, Registered) else f"{named.module}:{named.attribute}"
    factory = _maker(named.id) if isinstance(named, Registered) else load(named)
    with user_code(f"Cannot make {name}"):
        env = factory(**{**named.args, **options})
    if not isinstance(env, gymnasium.Env):
        raise InputError(f"{name} returned {described(env)}, not a gymnasium.Env.")
    return env


def import_user_module(name: str) -> ModuleType:
    """Import a user's module, also from the working directory; raise InputError where that fails."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    with user_code(f"Cannot import {name!r}"):
        return importlib.import_module(name)


def load(named: Factory) -> Callable[..., Any]:
    """Import a user's module, and return its factory, or one that makes a Gymnasium id which the import registered.

    The working directory is searched too.
    """
    before = set(gymnasium.registry)
    module = import_user_module(named.module)
    with user_code(f"Cannot import {named.module!r}"):
        factory: Callable[..., Any] | None = getattr(module, named.attribute, None)
    if callable(factory):
        return factory
    # an id without its version means the newest version
    ids = {id for id in gymnasium.registry if named.attribute in (id, id.rpartition("-v")[0])}
    if ids:
        return _maker(named.attribute)
    registered = sorted(set(gymnasium.registry) - before)
    near = nearest(named.attribute, [*(name for name, value in vars(module).items() if callable(value)), *registered])
    what = "has no callable" if named.attribute.isidentifier() else "registers no Gymnasium id"
    found = "" if factory is None else f"; it is {described(factory)}"
    raise InputError(f"{named.module!r} {what} {named.attribute!r}{found}.{near}")


def _maker(id: str) -> Callable[..., AnyEnv]:
    return partial(gymnasium.make, id, disable_env_checker=True)


class GymEnvironments:
    """B environments of one kind.

    What they return is checked at every step, since a wrong value would be learned from: see ``contract``. InputError
    names the class, its file and the value.
    """

    def __init__(self, name: str, envs: Sequence[AnyEnv], channels: Channels = "auto") -> None:
        """Wrap B new environments; raise InputError if their spaces are not supported.

        Args:
            name: for messages.
            envs: of one kind.
            channels: the axis of the channels of images.
        """
        self.envs = envs
        self.num_envs = len(envs)
        # a space may be a property or a class of the user's
        with user_code(f"Cannot use the spaces of {name}"):
            self._observations = observations(getattr(envs[0], "observation_space", None), name, channels)
            self._actions = actions(getattr(envs[0], "action_space", None), name)
            for env in envs[1:]:
                if (env.observation_space, env.action_space) != (envs[0].observation_space, envs[0].action_space):
                    raise InputError(f"{name} makes environments with several observation spaces or action spaces.")
        self._can_be_nonfinite = self._observations.dtype == "float32"
        self.spec = Spec(self._observations.shape, self._observations.dtype, self._actions.kind, frames_per_step=1)
        self._shape = (self.num_envs, *self._observations.shape)
        self.observed = self._empty()  # [B, *O]  the last observations
        self._score = [0.0] * self.num_envs
        self._length = [0] * self.num_envs  # steps

    def _empty(self) -> Array:
        return np.empty(self._shape, self._observations.dtype)

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start episodes from their seeds and return ``[B, *O]``."""
        self.observed = self.observed.copy()
        for i, (env, seed) in enumerate(zip(self.envs, seeds, strict=True)):
            if seed is not None:
                self.observed[i] = self._encode(env, "reset", check_reset(env, env.reset(seed=int(seed))))
                self._score[i], self._length[i] = 0.0, 0
        self._refuse_nonfinite(self.observed, "reset")
        return self.observed

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 or ``[B, A]`` float32 actions."""
        obs = successor = self.observed = self._empty()
        reward = np.empty(self.num_envs, np.float32)
        terminated, truncated = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)
        episodes: list[Episode] = []
        for i, env in enumerate(self.envs):
            state, gain, over, cut = check_step(env, env.step(self._actions.decode(action[i])))
            obs[i] = self._encode(env, "step", state)
            number = float(gain)
            # a number beyond float32 becomes infinite: numpy would warn
            reward[i] = number if abs(number) <= FLOAT32_MAX else number * math.inf
            self._score[i] += number
            self._length[i] += 1
            terminated[i], truncated[i] = over, cut and not over
            if over or cut:
                episodes.append(Episode(i, self._score[i], self._length[i], completed=bool(over)))
                self._score[i], self._length[i] = 0.0, 0
        self._refuse_nonfinite(obs, "step")
        if episodes:
            successor = obs.copy()
            for episode in episodes:
                env = self.envs[episode.env]
                obs[episode.env] = self._encode(env, "reset", check_reset(env, env.reset()))
            self._refuse_nonfinite(obs, "reset")
            successor[terminated] = obs[terminated]
        return Step(obs, reward, terminated, truncated, successor, tuple(episodes))

    def _encode(self, env: AnyEnv, method: str, state: Any) -> Array:
        try:
            return self._observations.encode(state)
        except NotInSpace as error:
            refuse(env, method, f"an observation {error}")

    def _refuse_nonfinite(self, obs: Array, method: str) -> None:
        """Raise InputError where ``[B, *O]`` has NaN or an infinity."""
        if not self._can_be_nonfinite:
            return
        # One dot product finds what is not finite in a quarter of the time; large numbers may overflow it.
        numbers: Any = obs.reshape(-1)
        if not math.isfinite(numbers.dot(numbers)) and not np.isfinite(obs).all():
            i = int(np.argmin(np.isfinite(obs).reshape(len(obs), -1).all(axis=1)))
            refuse(self.envs[i], method, "an observation with NaN or an infinity")

    def find_outside(self, obs: Array) -> Outside | None:
        """Return a float of an observation ``[*O]`` that is outside the bounds of its space."""
        return self._observations.find_outside(obs)

    @property
    def owner(self) -> str:
        """Return the class of the environments and its file."""
        return owner(self.envs[0])

    def close(self) -> None:
        """Close the environments; an error of one changes nothing any more, and is ignored."""
        for env in self.envs:
            with suppress(Exception):
                env.close()
