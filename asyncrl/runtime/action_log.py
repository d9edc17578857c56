"""Environments that log their seeds and actions, so that a later process can replay them.

Seed and actions restore an environment exactly, if it is deterministic; the emulator's own snapshots do not, under
sticky actions. A replay starts where the environment was last seeded, so environments are seeded anew now and then,
where an episode begins.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from asyncrl.envs.base import Array, Environments, Kind, Step

SEED_EVERY = 20_000  # steps of an environment, after which its next episode has a new seed: seconds to replay
MOST_BYTES = 16 * 2**20  # of actions; environments whose episodes never end are not logged beyond that
BEAT_EVERY = 100  # rows replayed between two heartbeats
FIRST_ROWS = 1024


def logged_type(actions: Kind) -> "np.dtype[np.generic]":
    """Return the type of logged actions, which is as small as they allow."""
    return np.min_scalar_type(max(actions.choices) - 1) if actions.choices else np.dtype(actions.dtype)


class ActionLog(NamedTuple):
    """The seeds and actions that brought B environments to their present state."""

    seeds: tuple[int, ...]  # B  of each one's last seeded reset
    resets: tuple[int, ...]  # B  how many seeded ones there have been
    starts: tuple[int, ...]  # B  rows of actions that were taken before it
    actions: Array  # [n, B] or [n, B, A]


class LoggedEnvironments:
    """B environments that log their seeds and actions."""

    def __init__(self, environments: Environments, draw_seed: Callable[[int, int], int]) -> None:
        """Wrap environments.

        Args:
            environments: B of them.
            draw_seed: returns the seed of an environment's k-th seeded reset, by environment and k.
        """
        self.spec, self.num_envs = environments.spec, environments.num_envs
        self._environments, self.draw_seed = environments, draw_seed
        actions = self.spec.actions
        # [rows, B] or [rows, B, A]
        self._actions: Array = np.empty((FIRST_ROWS, self.num_envs, *actions.shape), logged_type(actions))
        self._length = 0
        self._start = np.zeros(self.num_envs, np.int64)
        self._seeds = [0] * self.num_envs
        self._resets = [0] * self.num_envs
        self._is_logging = True

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each environment's last seeded reset."""
        return tuple(self._seeds)

    @property
    def log(self) -> ActionLog | None:
        """Return what must be repeated; None if that is too much."""
        if not self._is_logging:
            return None
        first = int(self._start.min())
        starts = tuple(int(start) - first for start in self._start)
        return ActionLog(self.seeds, tuple(self._resets), starts, self._actions[first : self._length].copy())

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Seed all environments that have a seed, and return ``[B, *O]``."""
        for env, seed in enumerate(seeds):
            if seed is not None:
                self._seeds[env], self._start[env] = seed, self._length
                self._resets[env] += 1
        return self._environments.reset(seeds)

    def step(self, action: Array) -> Step:
        """Take ``[B]`` or ``[B, A]`` actions, and log them."""
        if self._length == len(self._actions):
            self._grow()
        if self._is_logging:
            self._actions[self._length] = action
            self._length += 1
        step = self._environments.step(action)
        due = [episode.env for episode in step.episodes if self._length - self._start[episode.env] >= SEED_EVERY]
        return self._seed(step, due) if due else step

    def _seed(self, step: Step, due: Sequence[int]) -> Step:
        """Begin the new episodes of some environments from new seeds."""
        seeds = [self.draw_seed(env, self._resets[env]) if env in due else None for env in range(self.num_envs)]
        obs = self.reset(seeds)
        is_cut = step.truncated.reshape(-1, *[1] * (obs.ndim - 1))
        return step._replace(obs=obs, successor=np.where(is_cut, step.successor, obs))

    def _grow(self) -> None:
        """Drop the rows that no environment needs any more, and double the space for the others."""
        first = int(self._start.min())
        kept = self._actions[first:]
        if kept.nbytes > MOST_BYTES:
            self._is_logging = False
            return
        self._actions = np.empty((max(FIRST_ROWS, 2 * len(kept)), *kept.shape[1:]), kept.dtype)
        self._actions[: len(kept)] = kept
        self._length, self._start = len(kept), self._start - first

    def replay(self, log: ActionLog, beat: Callable[[int], None] = lambda row: None) -> Array:
        """Repeat a log after a reset of all environments, and return ``[B, *O]`` as it was then.

        Args:
            log: seeds and actions.
            beat: called with the row now and then.
        """
        wide = self.spec.actions.dtype
        obs = self._begin(log, 0)
        for row, action in enumerate(log.actions):
            # An environment that was seeded in a later row plays another episode until then.
            obs = self._environments.step(action.astype(wide)).obs
            if row % BEAT_EVERY == 0:
                beat(row)
            if row + 1 in log.starts:
                obs = self._begin(log, row + 1)
        self._seeds, self._resets = list(log.seeds), list(log.resets)
        self._actions, self._length = log.actions.copy(), len(log.actions)
        self._start = np.array(log.starts)
        return obs

    def _begin(self, log: ActionLog, row: int) -> Array:
        both = zip(log.seeds, log.starts, strict=True)
        return self._environments.reset([seed if start == row else None for seed, start in both])

    def close(self) -> None:
        """Close the environments."""
        self._environments.close()
