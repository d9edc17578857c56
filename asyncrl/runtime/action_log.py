"""The tape: what was done to environments since each was last seeded, so that a later process can do it again.

Seed and actions bring an environment back exactly, if it repeats itself at all; the emulator's own snapshots do not,
under sticky actions. A game is played back from its beginning or that of one before it, so environments are seeded
anew now and then, where a game begins.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from asyncrl.envs.base import Array, Box, Environments, Step

SEED_EVERY = 20_000  # steps of an environment, after which its next game has a new seed: seconds to play back
MOST = 16 * 2**20  # bytes of actions; environments whose games never end are not followed further than that
BEAT_EVERY = 100  # rows played back
ROOM = 1024  # rows at first


class Record(NamedTuple):
    """How B environments came to where they are."""

    seeds: tuple[int, ...]  # B  of each one's last seeded reset
    resets: tuple[int, ...]  # B  how many seeded ones there have been
    starts: tuple[int, ...]  # B  rows of actions that were taken before it
    actions: Array  # [n, B] or [n, B, A]


class Tape:
    """B environments that remember."""

    def __init__(self, environments: Environments, draw: Callable[[int, int], int]) -> None:
        """Wrap environments.

        Args:
            environments: B of them.
            draw: the seed of an environment's k-th seeded reset, by environment and k.
        """
        self.spec, self.num_envs = environments.spec, environments.num_envs
        self._environments, self._draw = environments, draw
        actions = self.spec.actions
        self._actions: Array  # [room, B] or [room, B, A]
        if isinstance(actions, Box):
            self._actions = np.empty((ROOM, self.num_envs, actions.size), np.float32)
        else:
            self._actions = np.empty((ROOM, self.num_envs), np.min_scalar_type(actions.n - 1))
        self._length = 0
        self._start = np.zeros(self.num_envs, np.int64)
        self._seeds = [0] * self.num_envs
        self._resets = [0] * self.num_envs
        self._is_followed = True

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each environment's last seeded reset."""
        return tuple(self._seeds)

    @property
    def record(self) -> Record | None:
        """Return what must be done again; None if that is too much."""
        if not self._is_followed:
            return None
        first = int(self._start.min())
        starts = tuple(int(start) - first for start in self._start)
        return Record(self.seeds, tuple(self._resets), starts, self._actions[first : self._length].copy())

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Seed all environments that have a seed, and return ``[B, *O]``."""
        for env, seed in enumerate(seeds):
            if seed is not None:
                self._seeds[env], self._start[env] = seed, self._length
                self._resets[env] += 1
        return self._environments.reset(seeds)

    def step(self, action: Array) -> Step:
        """Take ``[B]`` or ``[B, A]`` actions, and remember them."""
        if self._length == len(self._actions):
            self._make_room()
        if self._is_followed:
            self._actions[self._length] = action
            self._length += 1
        step = self._environments.step(action)
        due = [game.env for game in step.games if self._length - self._start[game.env] >= SEED_EVERY]
        return self._seed(step, due) if due else step

    def _seed(self, step: Step, due: Sequence[int]) -> Step:
        """Begin the new games of some environments from seeds of their own."""
        seeds = [self._draw(env, self._resets[env]) if env in due else None for env in range(self.num_envs)]
        obs = self.reset(seeds)
        is_cut = step.truncated.reshape(-1, *[1] * (obs.ndim - 1))
        return step._replace(obs=obs, successor=np.where(is_cut, step.successor, obs))

    def _make_room(self) -> None:
        """Forget what no environment needs any more, and have as much room again."""
        first = int(self._start.min())
        kept = self._actions[first:]
        if kept.nbytes > MOST:
            self._is_followed = False
            return
        self._actions = np.empty((max(ROOM, 2 * len(kept)), *kept.shape[1:]), kept.dtype)
        self._actions[: len(kept)] = kept
        self._length, self._start = len(kept), self._start - first

    def play_back(self, record: Record, beat: Callable[[int], None] = lambda row: None) -> Array:
        """Do again what was done, after a reset of all, and return ``[B, *O]`` as it was then.

        Args:
            record: what was done.
            beat: called with the row now and then.
        """
        wide = np.float32 if isinstance(self.spec.actions, Box) else np.int64
        obs = self._begin(record, 0)
        for row, action in enumerate(record.actions):
            obs = self._environments.step(action.astype(wide)).obs  # those that begin later play something else
            if row % BEAT_EVERY == 0:
                beat(row)
            if row + 1 in record.starts:
                obs = self._begin(record, row + 1)
        self._seeds, self._resets = list(record.seeds), list(record.resets)
        self._actions, self._length = record.actions.copy(), len(record.actions)
        self._start = np.array(record.starts)
        return obs

    def _begin(self, record: Record, row: int) -> Array:
        both = zip(record.seeds, record.starts, strict=True)
        return self._environments.reset([seed if start == row else None for seed, start in both])

    def close(self) -> None:
        """Close the environments."""
        self._environments.close()
