"""Opens a training session: of a new run, of a stored one, or of a short one that measures costs."""

import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.costs import MEASURE, Costs
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.envs.names import short_name
from asyncrl.errors import InputError
from asyncrl.events import WorkerState
from asyncrl.learners.exploration import draw_final
from asyncrl.networks.flat import flatten
from asyncrl.runtime.control import Control
from asyncrl.runtime.evaluator import TRAINING_EPISODES, EvaluationSpec
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.protocols import WorkerPool
from asyncrl.runtime.simulated_pool import SimulatedPool
from asyncrl.runtime.supervisor import ProcessPool
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import provenance, rows, runs
from asyncrl.store.document import FORMAT, RunDocument, Status
from asyncrl.store.settings import final_exploration
from asyncrl.training import checkpointing, job_builder, methods, nodes, preflight, simulated, tracking
from asyncrl.training.progress import ShowProgress
from asyncrl.training.reopening import protocol_of, refuse_changes, reopen
from asyncrl.training.session import Session

PoolMaker = Callable[[RunConfig, Job, SharedParameters, Control, Mapping[int, WorkerState] | None], WorkerPool]

PARENT_STREAM = 2**32 - 1  # spawn key of the parent's random numbers: initial weights, final ε
MEASURE_SECONDS = 10.0  # of the short run


def new_session(
    config: RunConfig,
    results: Path,
    name: str | None,
    show: ShowProgress,
    spec: Spec | None = None,
    tags: Mapping[str, Any] | None = None,
    make_pool: PoolMaker | None = None,
) -> tuple[Path, Session]:
    """Create a run's directory, and return it with its first session; arguments and errors as in experiment.train."""
    nodes.require_cluster(config, make_pool is not None)
    spec = spec or environments.spec_of(config)
    config = configuration.with_barriers(config)
    costs = _costs(config, spec) if config.is_simulated else None
    plan = job_builder.worker_layout(config)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(PARENT_STREAM,)))
    torch.manual_seed(int(rng.integers(2**63)))  # first: initial weights do not depend on the number of threads
    final = draw_final(plan.workers * plan.envs, config.exploration.final, config.exploration.probability, rng)
    theta = flatten(job_builder.make_network(config, spec))
    job = job_builder.make_job(config, spec, final, 0, costs)
    preflight.warn_of_schedule(config)
    preflight.warn_of_barriers(config)
    size = {"observation": math.prod(spec.obs_shape), "of_nodes": nodes.memory(config, len(theta))}
    preflight.check(job, len(theta), len(final), results, config.checkpoints.keep, **size)
    parameters = _allocate(job, theta)
    origin = provenance.collect()
    run = runs.claim(results, stem(config), name)
    document = {
        "format": FORMAT,
        "id": run.name,
        "config": config.model_dump(mode="json"),
        "provenance": origin,
        "started": origin["started"],
        "protocol": environments.protocol_name(config.env, config.atari),
        "spaces": spec.summary(),
        "exploration": None if methods.is_policy_method(config) else final,
        "parameters": len(theta),
        "frames_per_step": spec.frames_per_step,
        "sessions": 0,
    }
    document |= {"clock": config.clock, "turns": job_builder.takes_turns(config)}
    document |= {"own_parts": found} if (found := methods.own_files(config)) else {}
    document |= ({"tags": dict(tags)} if tags else {}) | ({"costs": costs.model_dump()} if costs else {})
    return run, _make_session(run, config, spec, job, parameters, document, show, make_pool=make_pool)


def stem(config: RunConfig) -> str:
    """Return the beginning of the id of a run without a name."""
    return f"{short_name(config.env)}-{config.algo}-{config.threads}t-s{config.seed}"


def _costs(config: RunConfig, spec: Spec) -> Costs:
    """Return the costs of a new simulated run, which are measured first where that is asked for."""
    if config.simulated.costs != MEASURE:
        return simulated.chosen_costs(config)
    alone = {"clock": "wall", "threads": 1, "trackers": (), "profile": True, "log_seconds": MEASURE_SECONDS / 4}
    alone |= {"evaluation": config.evaluation.model_copy(update={"episodes": 0})}
    alone |= {"cluster": config.cluster.model_copy(update={"nodes": 1})}
    short = config.model_copy(update=alone)

    with TemporaryDirectory() as place:
        session = new_session(short, Path(place), "measured", lambda p: p.seconds <= MEASURE_SECONDS, spec)[1]
        return simulated.measured_costs(session.run(handle_signals=False), short)


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
    losses: int = 0,
    make_pool: PoolMaker | None = None,
) -> Session:
    """Return a session with workers; ``states`` are those of an earlier session, ``losses`` as in SimulatedPool."""
    control = Control.allocate(job.workers)
    if make_pool:
        pool: WorkerPool = make_pool(config, job, parameters, control, states)
    elif job.simulation:
        make_nodes = nodes.simulated_nodes(config, job.simulation.costs)
        pool = SimulatedPool(job, parameters, control, states, losses, make_nodes)
    else:
        pool = ProcessPool(job, parameters, control, states)
    saves_first = config.is_simulated or make_pool is not None  # to have one to go back to
    return Session(run, config, pool, parameters, _training_evaluation(config, spec), document, show, saves_first)


def resumed_session(
    run: Path, changes: Mapping[str, Any], show: ShowProgress, losses: int = 0, make_pool: PoolMaker | None = None
) -> Session:
    """Return a session that continues a run from its last intact checkpoint, as ``experiment.resume``.

    ``changes`` are settings that replace those of the run. ``losses`` is how often in a row the process of a simulated
    run has died after this checkpoint.
    """
    document = runs.open_document(run)
    config, spec = reopen(run, document)
    nodes.require_cluster(config, make_pool is not None)
    old_budget = config.frames
    if changes:
        config = configuration.build({**config.model_dump(), **changes})
        tracking.check(config)
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
    if not (methods.is_policy_method(config) or known.exploration):
        raise InputError(f"{run / 'run.json'} is damaged: exploration has no final ε for each environment.")
    _warn_of_changed_parts(config, known.own_parts)
    sessions = known.sessions + 1
    job = job_builder.make_job(config, spec, final, sessions, simulated.stored_costs(run, document, config))
    P = len(saved.tensors["theta"])
    size = {"observation": math.prod(spec.obs_shape), "of_nodes": nodes.memory(config, P)}
    preflight.check(job, P, len(final), run, config.checkpoints.keep, checkpoints.count(run), **size)
    _warn_of_rate(config, old_budget, job, saved.step)
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
    document |= {"turns": job_builder.takes_turns(config) or bool(known.turns)}
    if config.is_simulated and not saved.meta.get("is_exact") and known.exact_until is None:
        document |= {"exact_until": saved.step}
    return _make_session(run, config, spec, job, parameters, document, show, states, losses, make_pool)


def _warn_of_rate(config: RunConfig, old_budget: int, job: Job, T: int) -> None:
    """Warn where a learning rate is annealed to 0 early, or over another budget than before."""
    preflight.warn_of_schedule(config)
    if config.frames != old_budget and config.optimizer.anneal and config.optimizer.anneal_frames is None:
        warnings.warn(
            f"The learning rate is annealed to 0 over the new budget of {config.frames:,} frames; "
            f"it continues at {job.learning_rate(T):.3g}. A run with optimizer.anneal_frames set keeps its schedule.",
            stacklevel=2,
        )


def _warn_of_changed_parts(config: RunConfig, before: Mapping[str, Mapping[str, str]]) -> None:
    for setting, part in methods.own_files(config).items():
        if setting in before and before[setting].get("sha256") != part["sha256"]:
            warnings.warn(f"{part['file']}, which has {part['name']}, has changed since the run began.", stacklevel=2)


def _training_evaluation(config: RunConfig, spec: Spec) -> EvaluationSpec | None:
    episodes = config.evaluation.episodes
    return job_builder.make_evaluation(config, spec, episodes, config.seed, TRAINING_EPISODES) if episodes else None
