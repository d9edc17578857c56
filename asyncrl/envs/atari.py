"""Atari games under the paper's protocol: B games in one emulator pool, with every emulator option set explicitly."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from asyncrl import config
from asyncrl.envs.base import Array, Discrete, Episode, Spec, Step

# frames per step: the action is repeated, and the observation is the maximum of the last two frames
SKIP = 4
STACK = 4  # frames in an observation
# probability that the emulator repeats the last action (Machado et al. 2018)
STICKINESS = 0.25
# the emulator takes seeds as int32
SEEDS = 2**31


def open_emulators(
    rom: str, num_envs: int, atari: config.Atari, *, num_threads: int = 1, native: bool = False
) -> AtariVectorEnv:
    """Open B emulators; ``native`` ones return colour frames ``[B, 1, 210, 160, 3]`` of the same games."""
    return AtariVectorEnv(
        rom,
        num_envs,
        # 0: each call returns all environments, in order
        batch_size=0,
        num_threads=num_threads,
        thread_affinity_offset=-1,
        # the count starts after the no-ops
        max_num_frames_per_episode=atari.max_frames,
        repeat_action_probability=STICKINESS if atari.protocol == "sticky" else 0.0,
        full_action_space=False,
        continuous=False,
        continuous_action_threshold=0.5,
        # NEXT_STEP would insert a step without an action of the agent
        autoreset_mode=AutoresetMode.SAME_STEP,
        img_height=210 if native else atari.frame_size,
        img_width=160 if native else atari.frame_size,
        grayscale=not native,
        stack_num=1 if native else STACK,
        frameskip=SKIP,
        maxpool=True,
        # the emulator draws the number of no-ops from 0 … noop_max − 1
        noop_max=atari.noops + 1,
        # True would restart the whole game at each lost life
        episodic_life=False,
        # True would fill final_obs with stale frames, and would not report whether the game is over
        life_loss_info=False,
        # scores are sums of unclipped rewards
        reward_clipping=False,
        use_fire_reset=False,
    )


class AtariEnvironments:
    """B games of one ROM.

    In training, rewards are clipped to [−1, 1], and under the paper's protocol a lost life is terminal for the learner
    although the game continues. Otherwise rewards and terminals are those of the game. ``Episode.score`` is always the
    sum of the unclipped rewards. ``emulators`` is the emulator pool.
    """

    def __init__(self, rom: str, num_envs: int, *, training: bool, atari: config.Atari, num_threads: int = 1) -> None:
        """Open the emulators; ``num_threads`` threads step them."""
        self.emulators = open_emulators(rom, num_envs, atari, num_threads=num_threads)
        self.num_envs = num_envs
        actions = cast(spaces.Discrete[Any], self.emulators.single_action_space)
        self.spec = Spec((STACK, atari.frame_size, atari.frame_size), "uint8", Discrete(int(actions.n)), SKIP)
        self._clip = training
        self._lives_count = training and atari.protocol == "paper"
        self._score = np.zeros(self.num_envs)  # [B]
        self._length = np.zeros(self.num_envs, np.int64)  # [B] steps
        # [B]; stays 0 if a lost life is not terminal
        self._lives = np.zeros(self.num_envs, np.int32)

    def reset(self, seeds: Sequence[int | None]) -> Array:
        """Start games from their seeds and return ``[B, 4, S, S]``, S = ``frame_size``; 0.1 s a game or so."""
        begins = np.array([seed is not None for seed in seeds])
        obs: Array
        obs, info = self.emulators.reset(
            seed=np.array([seed % SEEDS for seed in seeds if seed is not None]), options={"reset_mask": begins}
        )
        self._score[begins] = 0
        self._length[begins] = 0
        if self._lives_count:
            self._lives = info["lives"]
        return obs

    def step(self, action: Array) -> Step:
        """Take ``[B]`` int64 actions."""
        obs, raw, over, cut, info = self.emulators.step(action)  # raw: [B] int32
        self._score += raw
        self._length += 1
        # raw rewards are integers, so that their sign is their value clipped to [−1, 1]
        reward = (np.sign(raw) if self._clip else raw).astype(np.float32)
        died = info["lives"] < self._lives
        if self._lives_count:
            self._lives = info["lives"]
        ended = over | cut
        if not ended.any():
            # here cut is all False
            return Step(obs, reward, terminated=died, truncated=cut, successor=obs, episodes=())
        truncated = cut & ~over
        successor = np.where(truncated[:, None, None, None], info["final_obs"], obs) if truncated.any() else obs
        # where a game ended, the lives are those of the next game
        terminated = over | (died & ~ended)
        return Step(obs, reward, terminated, truncated, successor, self._finish(ended, over))

    def _finish(self, ended: NDArray[np.bool_], over: NDArray[np.bool_]) -> tuple[Episode, ...]:
        episodes = tuple(
            Episode(int(env), float(self._score[env]), int(self._length[env]), completed=bool(over[env]))
            for env in np.flatnonzero(ended)
        )
        self._score[ended] = 0
        self._length[ended] = 0
        return episodes

    def close(self) -> None:
        """Free the emulators."""
        self.emulators.close()
        del self.emulators
