"""The programs that ``benchmarks.speed`` compares. Each prints lines ``steps seconds`` until it is stopped.

``python -m benchmarks.peers emulator 2 8`` runs one of them. All step Pong, or another environment that is named,
through asyncrl's environment code, so that they differ only in what they do between two steps.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asyncrl.config import Atari
from asyncrl.envs.atari import AtariEnvironments
from asyncrl.envs.base import Environments, Spec
from asyncrl.envs.make import make

GAME = "pong"
INTERVAL = 0.5  # seconds between two lines


def report(steps: int, seconds: float) -> None:
    """Print the steps so far and the time, in seconds."""
    print(steps, round(seconds, 4), flush=True)


def asyncrl(*arguments: str) -> None:
    """Run ``asyncrl run`` with these arguments, without evaluations."""
    # the process group gets SIGTERM: the run stops, and this process waits for it
    signal.signal(signal.SIGTERM, lambda *_: None)
    with tempfile.TemporaryDirectory() as store:
        fixed = ["--results", store, "--name", "timed", "--frames", "10G"]
        quiet = ["--set", f"log_seconds={INTERVAL}", "--set", "evaluation.episodes=0"]
        command = [sys.executable, "-m", "asyncrl", "run", "--env", GAME, *arguments, *fixed, *quiet]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        metrics = Path(store, "timed", "metrics.jsonl")
        reported = 0
        while run.poll() is None:
            time.sleep(INTERVAL)
            rows = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
            for row in rows[reported:]:
                if row.endswith("\n"):
                    counts = json.loads(row)
                    report(counts["steps"], counts["seconds"])
                    reported += 1


def emulator(processes: str, envs: str) -> None:
    """Step environments with random actions: ``processes`` processes with ``envs`` environments each."""
    context = multiprocessing.get_context("spawn")
    done = context.RawArray("q", int(processes))
    for i in range(int(processes)):
        context.Process(target=_play, args=(done, i, int(envs)), daemon=True).start()
    while True:
        time.sleep(INTERVAL)
        if all(done):
            report(sum(done), time.monotonic())


def _one(game: str) -> Environments:
    """Return one environment for training."""
    return make(game, 1, training=True, atari=Atari(), channels="auto", num_threads=1)


def _body(spec: Spec) -> list[Any]:
    """Return layers like those of asyncrl's default networks: for frames, MinAtar's planes, or vectors."""
    from torch import nn

    if len(spec.obs_shape) == 1:
        return [nn.Linear(spec.obs_shape[0], 200), nn.ReLU()]
    planes = spec.obs_shape[0]
    if spec.obs_dtype != "uint8":
        return [nn.Conv2d(planes, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()]
    convolutions = [nn.Conv2d(planes, 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU()]
    return [*convolutions, nn.Flatten(), nn.Linear(2592, 256), nn.ReLU()]


def _play(done: Any, i: int, envs: int) -> None:
    environments = AtariEnvironments(GAME, envs, training=True, atari=Atari())
    environments.reset(range(i * envs, (i + 1) * envs))
    draw = np.random.default_rng(i)
    actions = environments.spec.actions
    while True:
        for action in draw.integers(actions.n, size=(1000, envs)):
            environments.step(action)
            done[i] += envs


class OldGymEnvironment:
    """One environment with the interface of the old Gym, which PFRL expects."""

    def __init__(self, game: str, seed: int) -> None:
        """Make an environment and start its first episode."""
        self.environments = _one(game)
        self.start = self.environments.reset([seed])[0]

    def reset(self) -> Any:
        """Return the first observation of a game; the step that ended the last game has started this one."""
        return self.start

    def step(self, action: int) -> tuple[Any, float, bool, dict[str, Any]]:
        """Take one action."""
        step = self.environments.step(np.array([action]))
        self.start = step.obs[0]
        return step.successor[0], float(step.reward[0]), bool(step.terminated[0]), {}

    def close(self) -> None:
        """Free the emulator."""
        self.environments.close()


def pfrl(processes: str, game: str = GAME) -> None:
    """Run PFRL's A3C with its published settings for Atari, and its published network for frames."""
    import logging

    import torch
    from pfrl.agents.a3c import A3C
    from pfrl.experiments import train_agent_async
    from pfrl.nn import Branched
    from pfrl.optimizers import SharedRMSpropEpsInsideSqrt
    from pfrl.policies import SoftmaxCategoricalHead
    from torch import nn

    spec = _one(game).spec
    divisor = 255 if spec.obs_dtype == "uint8" else 1

    def scale(obs: Any) -> Any:
        return np.asarray(obs, dtype=np.float32) / divisor

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    body = _body(spec)
    units, actions = body[-2].out_features, spec.actions.n
    heads = Branched(nn.Sequential(nn.Linear(units, actions), SoftmaxCategoricalHead()), nn.Linear(units, 1))
    model = nn.Sequential(*body, heads)
    optimizer = SharedRMSpropEpsInsideSqrt(model.parameters(), lr=7e-4, eps=1e-1, alpha=0.99)
    agent = A3C(model, optimizer, t_max=5, gamma=0.99, beta=1e-2, phi=scale, max_grad_norm=40.0)
    reported = [time.monotonic()]

    def hook(env: OldGymEnvironment, agent: A3C, steps: int) -> None:
        for group in agent.optimizer.param_groups:
            group["lr"] = 7e-4 * (1 - steps / 8e7)
        if agent.process_idx == 0 and time.monotonic() - reported[0] > INTERVAL:
            reported[0] = time.monotonic()
            report(steps, reported[0])

    train_agent_async(
        outdir=tempfile.gettempdir(),
        processes=int(processes),
        make_env=lambda i, test: OldGymEnvironment(game, i),
        agent=agent,
        eval_interval=None,
        global_step_hooks=[hook],
        random_seeds=list(range(int(processes))),
    )


def sb3(envs: str, game: str = GAME) -> None:
    """Run Stable-Baselines3's A2C with the settings that its model zoo publishes for Atari."""
    import gymnasium
    import torch
    from gymnasium import spaces
    from stable_baselines3 import A2C
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import DummyVecEnv
    from torch import nn

    spec = _one(game).spec
    is_frames = spec.obs_dtype == "uint8"

    class Env(gymnasium.Env[Any, Any]):
        """One environment with Gymnasium's interface."""

        observation_space = (
            spaces.Box(0, 255, spec.obs_shape, np.uint8)
            if is_frames
            else spaces.Box(-np.inf, np.inf, spec.obs_shape, np.float32)
        )
        action_space = spaces.Discrete(spec.actions.n)

        def __init__(self, seed: int) -> None:
            self.environments = _one(game)
            self.start = self.environments.reset([seed])[0]

        def reset(self, **_: Any) -> Any:
            return self.start, {}

        def step(self, action: Any) -> Any:
            step = self.environments.step(np.array([action]))
            self.start = step.obs[0]
            return step.successor[0], float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), {}

    class Body(BaseFeaturesExtractor):
        """The network of ``_body``, on which actor and critic have a linear layer each."""

        def __init__(self, space: Any) -> None:
            layers = _body(spec)
            super().__init__(space, layers[-2].out_features)
            self.layers = nn.Sequential(*layers)

        def forward(self, obs: Any) -> Any:
            return self.layers(obs)

    class Report(BaseCallback):
        """Prints a line every INTERVAL seconds."""

        reported = time.monotonic()

        def _on_step(self) -> bool:
            if time.monotonic() - self.reported > INTERVAL:
                self.reported = time.monotonic()
                report(self.num_timesteps, self.reported)
            return True

    options: dict[str, Any] = {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
    if not is_frames:
        options |= {"features_extractor_class": Body, "net_arch": []}
    torch.set_num_threads(os.cpu_count() or 1)
    games = DummyVecEnv([lambda i=i: Env(i) for i in range(int(envs))])
    model = A2C(
        "CnnPolicy" if is_frames else "MlpPolicy",
        games,
        ent_coef=0.01,
        vf_coef=0.25,
        policy_kwargs=options,
        device="cpu",
    )
    model.learn(10**9, callback=Report())


PROGRAMS: dict[str, Callable[..., None]] = {
    "asyncrl": asyncrl,
    "emulator": emulator,
    "pfrl": pfrl,
    "sb3": sb3,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
