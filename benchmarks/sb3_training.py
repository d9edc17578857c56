"""Stable-Baselines3's A2C with the settings that its model zoo publishes for Atari, on asyncrl's environments."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asyncrl.config import Atari
from asyncrl.envs.base import Spec
from asyncrl.envs.make import describe
from benchmarks.stepping import Observer, Stepper, body, loading, seeds

# The section atari of hyperparams/a2c.yml of rl-baselines3-zoo (commit c6c209e), which trains for 10M steps. It sets no
# learning rate, so that the rate is 7e-4 throughout, the default of Stable-Baselines3.
ENVS = 16
SETTINGS = {"ent_coef": 0.01, "vf_coef": 0.25}
EPSILON = 1e-5  # of RMSProp in the style of TensorFlow
STEPS = 10**9  # more than an observer allows
WEIGHTS = "training.pt"  # the file of a checkpoint: weights and state of the optimiser


def _model(games: list[Callable[[], Any]], spec: Spec, seed: int) -> Any:
    """Return Stable-Baselines3's A2C with the settings of its model zoo."""
    from stable_baselines3 import A2C
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import DummyVecEnv
    from torch import nn

    class Body(BaseFeaturesExtractor):
        """The network of ``body``, on which actor and critic have a linear layer each."""

        def __init__(self, space: Any) -> None:
            layers = body(spec)
            super().__init__(space, layers[-2].out_features)
            self.layers = nn.Sequential(*layers)

        def forward(self, obs: Any) -> Any:
            return self.layers(obs)

    is_frames = spec.obs_dtype == "uint8"
    options: dict[str, Any] = {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": EPSILON}}
    if not is_frames:
        options |= {"features_extractor_class": Body, "net_arch": []}
    policy = "CnnPolicy" if is_frames else "MlpPolicy"
    return A2C(policy, DummyVecEnv(games), **SETTINGS, policy_kwargs=options, device="cpu", seed=seed)


def train_sb3(envs: int, game: str, observer: Observer) -> None:
    """Train Stable-Baselines3's A2C until the observer ends it."""
    import gymnasium
    import torch
    from gymnasium import spaces
    from stable_baselines3.common.callbacks import BaseCallback

    spec = describe(game, Atari())
    box = (0, 255, spec.obs_shape, np.uint8) if spec.obs_dtype == "uint8" else (-np.inf, np.inf, spec.obs_shape)

    class Env(gymnasium.Env[Any, Any]):
        """One environment with Gymnasium's interface."""

        observation_space = spaces.Box(*box)
        action_space = spaces.Discrete(spec.actions.n)

        def __init__(self, seed: int) -> None:
            self.stepper = Stepper(game, seed)

        def reset(self, **_: Any) -> Any:
            return self.stepper.start, {}

        def step(self, action: Any) -> Any:
            step = self.stepper.step(action)
            ends = bool(step.terminated[0]), bool(step.truncated[0])
            return step.successor[0], float(step.reward[0]), *ends, {"episodes": step.episodes}

    class Callback(BaseCallback):
        """Passes every step to the observer."""

        def _on_step(self) -> bool:
            episodes = [episode for info in self.locals["infos"] for episode in info["episodes"]]
            return observer.observe(0, self.num_timesteps, episodes, save)

    def save(folder: Path) -> None:
        torch.save(model.get_parameters(), folder / WEIGHTS)

    torch.set_num_threads(os.cpu_count() or 1)
    *drawn, seed = seeds(observer, envs + 1)
    model = _model([lambda seed=seed: Env(seed) for seed in drawn], spec, seed)
    if observer.checkpoint is not None:
        with loading(observer.checkpoint):
            model.set_parameters(torch.load(observer.checkpoint / WEIGHTS), device="cpu")
        model.num_timesteps = observer.steps
    model.learn(STEPS - observer.steps, callback=Callback(), reset_num_timesteps=False)
