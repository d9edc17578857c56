"""Train, resume, evaluate and play runs: what the command line and Python programs call."""

import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.envs.contract import played_by_user
from asyncrl.envs.names import short_name
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError
from asyncrl.events import WorkerState
from asyncrl.learners.exploration import draw_final
from asyncrl.networks.flat import flatten
from asyncrl.runtime.control import Control
from asyncrl.runtime.evaluator import LATER_EPISODES, TRAINING_EPISODES, EvaluationSpec
from asyncrl.runtime.evaluator import evaluate as evaluate_weights
from asyncrl.runtime.evaluator import play as play_steps
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.spawn import require_main_guard
from asyncrl.runtime.supervisor import ProcessPool
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import provenance, rows, runs
from asyncrl.store.document import FORMAT, RunDocument, Status
from asyncrl.store.rows import Writer
from asyncrl.store.settings import final_exploration
from asyncrl.training import checkpointing, job_builder, preflight
from asyncrl.training.metrics import evaluation_row
from asyncrl.training.progress import Progress, ShowProgress
from asyncrl.training.reopening import protocol_of, refuse_changes, reopen
from asyncrl.training.session import Session

PARENT_STREAM = 2**32 - 1  # spawn key of the parent's random numbers: initial weights, final ε


def ignore(progress: Progress) -> None:
    """Show nothing."""


def train(
    config: RunConfig,
    results: Path,
    name: str | None = None,
    show: ShowProgress = ignore,
    spec: Spec | None = None,
    handle_signals: bool = True,
    tags: Mapping[str, Any] | None = None,
) -> Path:
    """Train from the beginning and return the run's directory.

    Args:
        config: as ``job_builder.resolve`` returns it.
        results: the directory of all runs.
        name: the run's id; None: made from the settings.
        show: the live view, called a few times a second.
        spec: the environment's spaces, if they are known already.
        handle_signals: see ``Session.run``.
        tags: stored with the run: the sweep and the cell that it belongs to.

    Raises:
        InputError: nothing was written.
        RunFailed: a worker failed, or the disk is full; the run is readable and can be resumed.
        Stopped: by a signal; the run can be resumed.
    """
    require_main_guard()
    spec = spec or environments.describe(config.env, config.atari, config.channels)
    plan = job_builder.worker_layout(config)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(PARENT_STREAM,)))
    torch.manual_seed(int(rng.integers(2**63)))  # first: initial weights do not depend on the number of threads
    final = draw_final(plan.workers * plan.envs, config.exploration.final, config.exploration.probability, rng)
    theta = flatten(job_builder.make_network(config, spec))
    job = job_builder.make_job(config, spec, final, session=0)
    size = math.prod(spec.obs_shape)
    preflight.warn_of_schedule(config)
    preflight.check(job, len(theta), len(final), results, config.checkpoints.keep, observation=size)
    parameters = _allocate(job, theta)
    game = short_name(config.env)
    origin = provenance.collect()
    run = runs.claim(results, f"{game}-{config.algo}-{config.threads}t-s{config.seed}", name)
    document = {
        "format": FORMAT,
        "id": run.name,
        "config": config.model_dump(mode="json"),
        "provenance": origin,
        "started": origin["started"],
        "protocol": environments.protocol_name(config.env, config.atari),
        "spaces": spec.summary(),
        "exploration": None if config.is_policy_method else final,
        "parameters": len(theta),
        "frames_per_step": spec.frames_per_step,
        "sessions": 0,
    }
    document |= {"tags": dict(tags)} if tags else {}
    with runs.hold(run):
        session = _make_session(run, config, spec, job, parameters, document, show)
        return session.run(handle_signals)


def _allocate(job: Job, theta: Tensor) -> SharedParameters:
    settings = job.optimizer, job.learning_rate, job.target_period, job.averaging
    return SharedParameters.allocate(theta, job.workers, *settings)


def _make_session(
    run: Path,
    config: RunConfig,
    spec: Spec,
    job: Job,
    parameters: SharedParameters,
    document: dict[str, Any],
    show: ShowProgress,
    states: Mapping[int, WorkerState] | None = None,
) -> Session:
    """Return a session with worker processes; ``states`` are those of workers of an earlier session."""
    pool = ProcessPool(job, parameters, Control.allocate(job.workers), states)
    return Session(run, config, pool, parameters, _training_evaluation(config, spec), document, show)


def resume(run: Path, frames: int | None = None, show: ShowProgress = ignore) -> Path:
    """Continue a run from its last intact checkpoint: counters, schedules, weights, g and random numbers as they were.

    Args:
        run: its directory.
        frames: a new budget, in frames; the learning rate is then annealed to that, unless
            optimizer.anneal_frames is set. None: as it was.
        show: the view.

    Raises:
        CheckpointError: no checkpoint can be used.
        InputError: nothing is left to do, the machine is too small, or another process trains it.
        RunFailed, Stopped: as in train.
    """
    require_main_guard()
    runs.open_document(run)  # raises if this is no run or a damaged one, before anything is written
    with runs.hold(run):
        return _resume(run, frames, show)


def _resume(run: Path, frames: int | None, show: ShowProgress) -> Path:
    document = runs.open_document(run)
    config, spec = reopen(run, document)
    old_budget = config.frames
    if frames is not None:
        config = configuration.build(config.model_dump() | {"frames": frames})
    saved = checkpoints.load(
        run, check=checkpointing.fits(config, spec, lambda before: refuse_changes(run, before, config))
    )
    # A run that was killed after its last checkpoint still lacks its last evaluation and its status.
    if saved.step >= job_builder.steps(config.frames, spec) and document.get("status") == Status.FINISHED:
        done, asked = saved.step * spec.frames_per_step, config.frames
        raise InputError(f"{run.name} has done {done:,} of {asked:,} frames; give it more with --frames.")
    plan = job_builder.worker_layout(config)
    known = RunDocument.model_validate(document)
    final = final_exploration(run, plan.workers * plan.envs)
    if not (config.is_policy_method or known.exploration):
        raise InputError(f"{run / 'run.json'} is damaged: exploration has no final ε for each environment.")
    sessions = known.sessions + 1
    job = job_builder.make_job(config, spec, final, sessions)
    preflight.warn_of_schedule(config)
    parts = checkpoints.count(run), math.prod(spec.obs_shape)
    preflight.check(job, len(saved.tensors["theta"]), len(final), run, config.checkpoints.keep, *parts)
    if config.frames != old_budget and config.optimizer.anneal and config.optimizer.anneal_frames is None:
        rate = job.learning_rate(saved.step)
        warnings.warn(
            f"The learning rate is annealed to 0 over the new budget of {config.frames:,} frames; "
            f"it continues at {rate:.3g}. A run with optimizer.anneal_frames set keeps its schedule.",
            stacklevel=2,
        )
    for name in ("episodes", "metrics", "evaluations"):
        rows.cut(run, name, saved.step)
    checkpoints.forget_best(run, saved.step)
    parameters = _allocate(job, saved.tensors["theta"])
    parameters.restore(saved.tensors)
    # A run.json that was damaged may lack what follows from the settings.
    document |= {"config": config.model_dump(mode="json"), "sessions": sessions}
    document |= {"id": run.name, "frames_per_step": spec.frames_per_step, "protocol": protocol_of(config, document)}
    document |= saved.meta["counts"] | saved.meta.get("health", {})
    states = checkpointing.states(saved)
    return _make_session(run, config, spec, job, parameters, document, show, states).run()


def evaluate(run: Path, which: str = "last", episodes: int = 30, seed: int = 1) -> dict[str, Any]:
    """Play whole episodes with a checkpoint's weights; append the row to evaluations.jsonl and return it.

    Args:
        run: its directory.
        which: ``last``, ``best`` or a step.
        episodes: how many; they all count.
        seed: of the episodes' starts and of the actions.
    """
    document = runs.open_document(run)
    config, spec = reopen(run, document)
    protocol = protocol_of(config, document)
    saved = checkpoints.load(run, which, checkpointing.fits(config, spec))
    evaluation = job_builder.make_evaluation(config, spec, episodes, seed, LATER_EPISODES)
    with played_by_user(config.env):
        result = evaluate_weights(evaluation, saved.evaluation_weights, saved.step)
    row: dict[str, Any] = saved.meta["counts"] | evaluation_row(result, protocol, "eval") | {"seed": seed}
    with Writer(run) as writer:
        writer.append("evaluations", row)
    return row


def play(run: Path, which: str = "last", seed: int = 1) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Play one episode with a checkpoint's weights, yielding each picture ``[H, W, 3]`` and the score so far."""
    config, spec = reopen(run, runs.open_document(run))
    saved = checkpoints.load(run, which, checkpointing.fits(config, spec))
    rendered = make_rendered(config.env, config.atari, config.channels)
    evaluation = job_builder.make_evaluation(config, spec, 1, seed, LATER_EPISODES)
    score = 0.0
    try:
        with played_by_user(config.env):
            for step in play_steps(evaluation, saved.evaluation_weights, rendered, saved.step):
                score += float(step.reward[0])
                yield rendered.frame(), score
                if step.episodes:
                    return
    finally:
        rendered.close()


def _training_evaluation(config: RunConfig, spec: Spec) -> EvaluationSpec | None:
    episodes = config.evaluation.episodes
    return job_builder.make_evaluation(config, spec, episodes, config.seed, TRAINING_EPISODES) if episodes else None
