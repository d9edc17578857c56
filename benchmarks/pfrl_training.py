"""PFRL's A3C with the settings that PFRL publishes for Atari, on asyncrl's environments."""

import logging
import multiprocessing
import os
import signal
import tempfile
from contextlib import suppress
from typing import Any

import numpy as np

from asyncrl.config import Atari
from asyncrl.envs.base import Array, Episode
from asyncrl.envs.make import describe
from asyncrl.system.child_process import end_with_parent
from benchmarks.stepping import Observer, Stepper, body, loading, seeds

# examples/atari/reproduction/a3c/train_a3c.py of PFRL (commit 1799246); the rate is annealed to 0 over these steps
STEPS, RATE = 8 * 10**7, 7e-4


class OldGymEnvironment:
    """One environment with the interface of the old Gym, which PFRL expects."""

    def __init__(self, game: str, seed: int) -> None:
        """Make an environment and start its first episode."""
        self._stepper = Stepper(game, seed)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """Return the episodes that ended in the last step."""
        return self._stepper.episodes

    def reset(self) -> Array:
        """Return the first observation of an episode."""
        return self._stepper.start.copy()

    def step(self, action: int) -> tuple[Array, float, bool, dict[str, Any]]:
        """Take one action."""
        step = self._stepper.step(action)
        # PFRL keeps the observations of a rollout; those of a step are valid until the next one
        obs = step.successor[0].copy()
        return obs, float(step.reward[0]), bool(step.terminated[0]), {"needs_reset": bool(step.truncated[0])}

    def close(self) -> None:
        """Free the emulator."""
        self._stepper.close()


def _agent(game: str) -> Any:
    """Return PFRL's A3C with its settings and its network for Atari."""
    from pfrl.agents.a3c import A3C
    from pfrl.nn import Branched
    from pfrl.optimizers import SharedRMSpropEpsInsideSqrt
    from pfrl.policies import SoftmaxCategoricalHead
    from torch import nn

    spec = describe(game, Atari())
    divisor = 255 if spec.obs_dtype == "uint8" else 1

    def scale(obs: Any) -> Any:
        return np.asarray(obs, dtype=np.float32) / divisor

    layers = body(spec)
    units, actions = layers[-2].out_features, spec.actions.n
    heads = Branched(nn.Sequential(nn.Linear(units, actions), SoftmaxCategoricalHead()), nn.Linear(units, 1))
    model = nn.Sequential(*layers, heads)
    optimizer = SharedRMSpropEpsInsideSqrt(model.parameters(), lr=RATE, eps=1e-1, alpha=0.99)
    return A3C(model, optimizer, t_max=5, gamma=0.99, beta=1e-2, phi=scale, max_grad_norm=40.0)


def train_pfrl(processes: int, game: str, observer: Observer) -> None:
    """Train PFRL's A3C until the observer ends it; a process that fails ends all others."""
    import torch
    from pfrl.experiments import train_agent_async

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    torch.manual_seed(observer.seed)
    logging.disable(logging.CRITICAL)
    agent = _agent(game)
    if observer.checkpoint is not None:
        with loading(observer.checkpoint):
            agent.load(str(observer.checkpoint))
    stop, parent, drawn = multiprocessing.Event(), os.getpid(), seeds(observer, processes)

    def make_env(process: int, test: bool) -> OldGymEnvironment:
        end_with_parent(parent, signal.SIGKILL)
        return OldGymEnvironment(game, drawn[process])

    def hook(env: OldGymEnvironment, agent: Any, steps: int) -> None:
        steps += observer.steps
        for group in agent.optimizer.param_groups:
            group["lr"] = RATE * (1 - steps / STEPS)
        if not observer.observe(agent.process_idx, steps, env.episodes, agent.save):
            stop.set()

    # Ctrl-C ends this process at once, and by that the others: Python would wait for them
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, _end_with_failed_child)
    train_agent_async(
        # PFRL counts from 0, and writes here after all steps and after an exception only
        outdir=tempfile.gettempdir(),
        steps=STEPS - observer.steps,
        processes=processes,
        make_env=make_env,
        agent=agent,
        eval_interval=None,
        global_step_hooks=[hook],
        random_seeds=drawn,
        stop_event=stop,
    )


def _end_with_failed_child(number: int, frame: object) -> None:
    """End this process, and by that all its children, where one of them was killed or failed."""
    ended = None
    # Python may have read the status of the last child already
    with suppress(ChildProcessError):
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None and ended.si_status:
        os.write(2, f"Process {ended.si_pid} of PFRL was killed or failed ({ended.si_status}).\n".encode())
        os._exit(1)
