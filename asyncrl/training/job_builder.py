"""Builds a run's parts from its RunConfig.

The configuration counts in frames; ``steps`` converts them to agent steps. (training/session.py converts its budget
and periods itself.) Callables for another process are partials of functions of this module, since these can be pickled.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from asyncrl import config as configuration
from asyncrl import presets
from asyncrl.config import RunConfig
from asyncrl.costs import Costs
from asyncrl.envs import make as environments
from asyncrl.envs.base import Box, Discrete, Environments, MultiDiscrete, Spec
from asyncrl.envs.registry import canonical, kind, note
from asyncrl.envs.spaces import MOST_ACTIONS
from asyncrl.errors import InputError
from asyncrl.learners import compiled
from asyncrl.learners.base import Learner
from asyncrl.networks import factory as networks
from asyncrl.optim import LearningRate
from asyncrl.runtime.evaluator import EvaluationSpec
from asyncrl.runtime.job import Job
from asyncrl.runtime.simulation import Simulation
from asyncrl.system.machine import cores
from asyncrl.training import methods, nodes, tracking

BINS = 5  # values of a number that is made discrete, in a message


def resolve(
    table: Mapping[str, Any],
    describe: Callable[[RunConfig], Spec] = environments.spec_of,
) -> tuple[RunConfig, Spec]:
    """Return the whole configuration from a user's settings, defaults < preset < table, and its environment's spaces.

    The environment is built once, and closed.

    Args:
        table: the settings, nested.
        describe: returns the spaces of a run's environment; one that remembers them saves time for many runs.

    Raises:
        InputError: a field, game, network or space that is not supported; nothing has been written.
    """
    asked = configuration.build(table)
    spec = describe(asked)
    if isinstance(spec.actions, Box) and not methods.is_policy_method(asked):
        raise InputError(_continuous_actions(asked, spec.actions))
    if isinstance(spec.actions, MultiDiscrete) and not methods.is_policy_method(asked):
        raise InputError(_several_actions(asked, spec.actions))
    preset = presets.preset(asked.preset, kind(asked.env, spec), asked.algo)
    merged = configuration.build(configuration.merge(preset, table))
    if merged.network.endswith("-separate") and not methods.is_policy_method(merged):
        raise InputError(f"Network {merged.network!r} has an actor and a critic: use it with a3c or a2c, or use mlp.")
    nodes.check(merged)
    resolved = {"network": networks.fit(merged.network, spec.obs_shape), "env": canonical(merged.env)}
    config = merged.model_copy(update=resolved)
    _check_own_parts(config, spec)
    tracking.check(config)
    if told := note(merged.env, merged.atari):
        warnings.warn(told, stacklevel=2)
    return config, spec


def _continuous_actions(config: RunConfig, actions: Box) -> str:
    """Return why a value method cannot choose real numbers, and what helps."""
    text = f"{config.env} has continuous actions, which {config.algo} cannot choose from; use a3c or a2c"
    if BINS**actions.size > MOST_ACTIONS:
        return f"{text}."
    return (
        f"{text}, or, if the bounds are finite, {BINS} values of each number: "
        f"gymnasium.wrappers.DiscretizeAction(env, bins={BINS})."
    )


def _several_actions(config: RunConfig, several: MultiDiscrete) -> str:
    """Return why a value method cannot choose several actions at once, and what helps."""
    parts = f"actions of {len(several.sizes)} parts (MultiDiscrete)"
    text = f"{config.env} has {parts}, which {config.algo} cannot choose from; use a3c or a2c"
    n = math.prod(several.sizes)
    if n > MOST_ACTIONS:
        return f"{text}."
    return (
        f"{text}, or number the {n} combinations: gymnasium.wrappers.TransformAction(env, "
        f"lambda i: numpy.array(numpy.unravel_index(i, {several.sizes})), gymnasium.spaces.Discrete({n}))."
    )


def _check_own_parts(config: RunConfig, spec: Spec) -> None:
    """Make the parts of the user once; raise InputError where that fails."""
    if any(methods.own_names(config)):
        make_learner(config, spec, (0.0,), 0)
        methods.make_optimizer(config)
        with torch.random.fork_rng(devices=()):
            make_network(config, spec)


def make_network(config: RunConfig, spec: Spec) -> nn.Module:
    """Build the run's network, with weights from torch's generator."""
    chosen = spec.actions
    net = networks.build(
        config.network,
        spec.obs_shape,
        actions=chosen.n if isinstance(chosen, Discrete) else chosen.size if isinstance(chosen, Box) else chosen.sizes,
        continuous=isinstance(chosen, Box),
        policy=methods.is_policy_method(config),
        obs_dtype=spec.obs_dtype,
    )
    return networks.orthogonal(net) if config.initial_weights == "orthogonal" else net


def make_environments(config: RunConfig, num_threads: int, training: bool, num_envs: int, spec: Spec) -> Environments:
    """Make B environments under the run's protocol; raise InputError if their spaces are not those of ``spec``."""
    made = environments.make(
        config.env,
        num_envs,
        training=training,
        atari=config.atari,
        channels=config.channels,
        args=config.env_args,
        num_threads=min(num_threads, num_envs),
    )
    if made.spec != spec:
        made.close()
        raise InputError(f"{config.env} has {made.spec.summary()} in this process, but {spec.summary()} in its parent.")
    return made


def make_learner(config: RunConfig, spec: Spec, final: tuple[float, ...], epsilon_steps: int) -> Learner[Any]:
    """Make the run's learner with its final ε, one an environment (unused by policy methods)."""
    return methods.make_learner(config, final, epsilon_steps, steps(config.target_frames, spec))


def steps(frames: int, spec: Spec) -> int:
    """Convert emulator frames to agent steps, at least one."""
    return max(1, frames // spec.frames_per_step)


def learning_rate_steps(config: RunConfig, spec: Spec) -> int | None:
    """Return after how many steps the learning rate is 0; None where it stays as it is."""
    frames = config.optimizer.anneal_frames or config.frames
    return steps(frames, spec) if config.optimizer.anneal else None


class WorkerLayout(NamedTuple):
    """How environments are shared out: many workers with B each, or for A2C one worker with all of them."""

    workers: int
    envs: int  # B, of one worker
    cpu_threads: int  # threads of torch, and of the emulator pool, in one worker


def worker_layout(config: RunConfig) -> WorkerLayout:
    """Return the layout of the asynchronous methods, or A2C's single worker."""
    if config.algo == "a2c":
        # in simulated time one, so that a run repeats on every machine
        cpu_threads = 1 if config.is_simulated else min(config.threads, cores())
        return WorkerLayout(1, config.threads * config.envs_per_thread, cpu_threads)
    return WorkerLayout(config.threads * config.cluster.nodes, config.envs_per_thread, 1)


def cores_for_turns(config: RunConfig) -> int | None:
    """Return how many cores the workers take turns on; None: they do not take turns."""
    is_off = config.workers.turns == "off" or config.is_simulated or config.algo == "a2c"
    # for a batch cold caches cost little
    return None if is_off or (config.workers.turns == "auto" and config.envs_per_thread > 1) else cores()


def takes_turns(config: RunConfig) -> bool:
    """Return whether workers will take turns on this machine."""
    available = cores_for_turns(config)
    return available is not None and config.threads > available


def make_simulation(config: RunConfig, costs: Costs) -> Simulation:
    """Return how virtual time passes in a run with these costs."""
    settings, is_batch = config.simulated, config.algo == "a2c"
    return Simulation(
        costs=costs,
        jitter=settings.jitter,
        cores=None if is_batch else settings.cores,
        has_turns=settings.policy == "turns",
        delay=settings.delay,
        is_delay_drawn=settings.delays == "drawn",
        speeds=settings.speeds,
        batch_cores=min(config.threads, settings.cores or config.threads) if is_batch else 1,
        efficiency=settings.efficiency,
    )


def make_job(config: RunConfig, spec: Spec, final: tuple[float, ...], session: int, costs: Costs | None = None) -> Job:
    """Put a run's parts together, in steps; ``costs`` are those of a simulated run."""
    plan = worker_layout(config)
    anneal = steps(config.exploration.anneal_frames, spec)
    per_worker = [final[i : i + plan.envs] for i in range(0, len(final), plan.envs)]
    return Job(
        learners=tuple(make_learner(config, spec, own, anneal) for own in per_worker),
        make_network=partial(make_network, config, spec),
        make_environments=partial(make_environments, config, plan.cpu_threads, True, plan.envs, spec=spec),
        optimizer=methods.make_optimizer(config),
        learning_rate=LearningRate(config.optimizer.lr, learning_rate_steps(config, spec)),
        averaging=config.averaging,
        clip=config.optimizer.clip,
        t_max=config.t_max,
        gamma=config.gamma,
        budget=steps(config.frames, spec),
        seed=config.seed,
        restarts=config.workers.restarts,
        hang_seconds=config.workers.hang_seconds,
        cores=cores_for_turns(config),
        torch_threads=plan.cpu_threads,
        session=session,
        profile=config.profile and not config.is_simulated,
        simulation=None if costs is None else make_simulation(config, costs),
        accelerate=compiled.accelerate,
    )


def make_evaluation(config: RunConfig, spec: Spec, episodes: int, seed: int, stream: int) -> EvaluationSpec:
    """Build the EvaluationSpec of a run; ``stream`` is a spawn key, TRAINING_EPISODES or LATER_EPISODES."""
    return EvaluationSpec(
        learner=make_learner(config, spec, (config.evaluation.epsilon,), 0),
        make_network=partial(make_network, config, spec),
        make_environments=partial(make_environments, config, cores(), False, spec=spec),
        episodes=episodes,
        seed=seed,
        threads=cores(),
        stream=stream,
        hang_seconds=config.workers.hang_seconds,
        restarts=config.workers.restarts,
    )
