"""Atari games under the paper's protocol, B of them in one emulator pool, with every option said."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from asyncrl import config
from asyncrl.envs.base import Array, Discrete, Game, Spec, Step

SKIP = 4  # frames per step: the action is repeated, the last two frames are merged by their maximum
STACK = 4  # frames seen at once
SIZE = 84  # pixels, square
STICKINESS = 0.25  # probability that the emulator repeats the last action (Machado et al. 2018)
SEEDS = 2**31  # the emulator's seeds are int32


def emulators(
    rom: str, num_envs: int, atari: config.Atari, *, num_threads: int = 1, native: bool = False
) -> AtariVectorEnv:
    """Open B emulators; ``native`` ones show 210 × 160 colour frames ``[B, 1, 210, 160, 3]`` of the same games."""
    return AtariVectorEnv(
        rom,
        num_envs,
        batch_size=0,  # all of them, in order
        num_threads=num_threads,
        thread_affinity_offset=-1,
        max_num_frames_per_episode=atari.max_frames,  # counted from after the no-ops
        repeat_action_probability=STICKINESS if atari.protocol == "sticky" else 0.0,
        full_action_space=False,
        continuous=False,
        continuous_action_threshold=0.5,
        autoreset_mode=AutoresetMode.SAME_STEP,  # NEXT_STEP would insert a step that nobody took
        img_height=210 if native else SIZE,
        img_width=160 if native else SIZE,
        grayscale=not native,
        stack_num=1 if native else STACK,
        frameskip=SKIP,
        maxpool=True,
        noop_max=atari.noops + 1,  # the emulator draws from 0 … noop_max − 1
        episodic_life=False,  # True restarts the whole game at each lost life
        life_loss_info=False,  # True fills final_obs with stale frames, and hides whether the game is over
        reward_clipping=False,  # scores need the true ones
        use_fire_reset=False,
    )


class AtariEnvironments:
    """B games of one ROM.

    In training, rewards are clipped to [−1, 1], and under the paper's protocol a lost life is terminal for the learner
    while the game plays on. Otherwise both are as the game has them. ``Game.score`` is always the game's own.
    """

    def __init__(self, rom: str, num_envs: int, *, training: bool, atari: config.Atari, num_threads: int = 1) -> None:
        """Open the emulators, stepped by ``num_threads`` threads."""
        self._emulators = emulators(rom, num_envs, atari, num_threads=num_threads)
        self.num_envs = num_envs
        actions = cast(spaces.Discrete[Any], self._emulators.single_action_space)
        self.spec = Spec((STACK, SIZE, SIZE), "uint8", Discrete(int(actions.n)), SKIP)
        self._clip = training
        self._lives_count = training and atari.protocol == "paper"
        self._score = np.zeros(self.num_envs)  # [B]
        self._length = np.zeros(self.num_envs, np.int64)  # [B] steps
        self._lives = np.zeros(self.num_envs, np.int32)  # [B]; 0 for ever where a lost one is no end

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start games from their seeds and return ``[B, 4, 84, 84]``; takes about 0.1 s a game."""
        begins = np.array([seed is not None for seed in seeds])
        obs: Array
        obs, info = self._emulators.reset(
            seed=np.array([seed % SEEDS for seed in seeds if seed is not None]), options={"reset_mask": begins}
        )
        self._score[begins] = 0
        self._length[begins] = 0
        if self._lives_count:
            self._lives = info["lives"]
        return obs

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 actions."""
        obs, raw, over, cut, info = self._emulators.step(action)  # raw: [B] int32
        self._score += raw
        self._length += 1
        reward = (np.sign(raw) if self._clip else raw).astype(np.float32)  # of whole numbers the sign is what is left
        died = info["lives"] < self._lives
        if self._lives_count:
            self._lives = info["lives"]
        ended = over | cut
        if not ended.any():  # so `cut` is all False
            return Step(obs, reward, terminated=died, truncated=cut, successor=obs, games=())
        truncated = cut & ~over
        successor = np.where(truncated[:, None, None, None], info["final_obs"], obs) if truncated.any() else obs
        terminated = over | (died & ~ended)  # where it ended they are the next game's
        return Step(obs, reward, terminated, truncated, successor, self._finish(ended, over))

    def _finish(self, ended: NDArray[np.bool_], over: NDArray[np.bool_]) -> tuple[Game, ...]:
        games = tuple(
            Game(int(env), float(self._score[env]), int(self._length[env]), completed=bool(over[env]))
            for env in np.flatnonzero(ended)
        )
        self._score[ended] = 0
        self._length[ended] = 0
        return games

    def close(self) -> None:
        """Free the emulators."""
        self._emulators.close()
        del self._emulators
