"""What a person can do with a run: train, resume, evaluate, play."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError
from asyncrl.events import Progress
from asyncrl.learners.exploration import draw_final
from asyncrl.runtime.evaluator import LATER_GAMES, TRAINING_GAMES, Exam, examine, steps
from asyncrl.runtime.parameters import Shared, flatten
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import provenance, rows, runs
from asyncrl.store.rows import Writer
from asyncrl.training import checkpointing, job_builder, preflight
from asyncrl.training.metrics import evaluation_row
from asyncrl.training.session import Session

Show = Callable[[Progress], None]

HARMLESS = ("frames", "log_seconds", "profile", "evaluation.", "checkpoints.", "workers.")  # to change on the way
PARENT_STREAM = 2**32 - 1  # spawn key of what the parent draws: initial weights, final ε


def ignore(progress: Progress) -> None:
    """Show nothing."""


def resolve(table: Mapping[str, Any]) -> RunConfig:
    """Return the whole configuration for what a user has set; see ``job_builder.resolve``."""
    return job_builder.resolve(table)


def train(config: RunConfig, results: Path, name: str | None = None, show: Show = ignore) -> Path:
    """Train from the beginning and return the run's directory.

    Raises:
        InputError: nothing was written.
        RunFailed: a worker failed, or the disk is full; the run is readable and can be resumed.
        Stopped: by a signal; the run can be resumed.
    """
    spec = environments.describe(config.env, config.atari)
    plan = job_builder.schedule(config)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(PARENT_STREAM,)))
    torch.manual_seed(int(rng.integers(2**63)))  # first: initial weights do not depend on the number of threads
    final = draw_final(plan.workers * plan.envs, config.exploration.final, config.exploration.probability, rng)
    theta = flatten(job_builder.make_network(config, spec))
    job = job_builder.make_job(config, spec, final, session=0)
    preflight.check(job, len(theta), len(final), results, config.checkpoints.keep)
    shared = Shared.allocate(theta, job.workers, job.optimizer, job.has_target, job.has_average)
    game = config.env.rpartition(":")[2].rpartition("/")[2].lower()
    origin = provenance.collect()
    run = runs.claim(results, f"{game}-{config.algo}-{config.threads}t-s{config.seed}", name)
    document = {
        "format": runs.FORMAT,
        "id": run.name,
        "config": config.model_dump(mode="json"),
        "provenance": origin,
        "started": origin["started"],
        "protocol": environments.protocol_name(config.env, config.atari),
        "exploration": None if config.is_policy_method else final,
        "parameters": len(theta),
        "frames_per_step": spec.frames_per_step,
        "sessions": 0,
    }
    with runs.hold(run):
        return Session(run, config, job, _training_exam(config, spec), shared, document, show).run()


def resume(run: Path, frames: int | None = None, show: Show = ignore) -> Path:
    """Go on with a run from its last good checkpoint: counters, schedules, weights, g and random streams as they were.

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
    runs.read_document(run)  # raises where this is no run, before anything is written
    with runs.hold(run):
        return _resume(run, frames, show)


def _resume(run: Path, frames: int | None, show: Show) -> Path:
    document = runs.read_document(run)
    config = _config_of(run, document)
    old_budget = config.frames
    if frames is not None:
        config = configuration.build(config.model_dump() | {"frames": frames})
    spec = environments.describe(config.env, config.atari)
    saved = checkpoints.load(run)
    if saved.step >= job_builder.steps(config.frames, spec):
        done, asked = saved.step * spec.frames_per_step, config.frames
        raise InputError(f"{run.name} has done {done:,} of {asked:,} frames; give it more with --frames.")
    _refuse_changes(run, configuration.build(saved.meta["config"]), config)
    plan = job_builder.schedule(config)
    final = tuple(document["exploration"] or (0.0,) * (plan.workers * plan.envs))
    sessions = int(document["sessions"]) + 1
    job = job_builder.make_job(config, spec, final, sessions)
    preflight.check(job, len(saved.tensors["theta"]), len(final), run, config.checkpoints.keep, checkpoints.count(run))
    if config.frames != old_budget and config.optimizer.anneal and config.optimizer.anneal_frames is None:
        rate = job.learning_rate(saved.step)
        warnings.warn(
            f"The learning rate is annealed to 0 over the new budget of {config.frames:,} frames; "
            f"it goes on at {rate:.3g}. A run with optimizer.anneal_frames set keeps its schedule.",
            stacklevel=2,
        )
    for name in ("episodes", "metrics", "evaluations"):
        rows.cut(run, name, saved.step)
    checkpoints.forget_best(run, saved.step)
    shared = Shared.allocate(saved.tensors["theta"], job.workers, job.optimizer, job.has_target, job.has_average)
    shared.restore(saved.tensors)
    document |= {"config": config.model_dump(mode="json"), "sessions": sessions}
    document |= saved.meta["counts"] | saved.meta.get("health", {})
    exam = _training_exam(config, spec)
    return Session(run, config, job, exam, shared, document, show, checkpointing.states(saved)).run()


def evaluate(run: Path, which: str = "last", episodes: int = 30, seed: int = 1) -> dict[str, Any]:
    """Play whole games with a checkpoint's weights; append the row to evaluations.jsonl and return it.

    Args:
        run: its directory.
        which: ``last``, ``best`` or a step.
        episodes: games; they all count.
        seed: of the games' starts and of the actions.
    """
    document = runs.read_document(run)
    config = _config_of(run, document)
    spec = environments.describe(config.env, config.atari)
    saved = checkpoints.load(run, which)
    result = examine(job_builder.make_exam(config, spec, episodes, seed, LATER_GAMES), saved.evaluated, saved.step)
    row: dict[str, Any] = saved.meta["counts"] | evaluation_row(result, document["protocol"], "eval") | {"seed": seed}
    with Writer(run) as writer:
        writer.append("evaluations", row)
    return row


def play(run: Path, which: str = "last", seed: int = 1) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Play one game with a checkpoint's weights, yielding each picture ``[H, W, 3]`` and the score so far."""
    config = _config_of(run, runs.read_document(run))
    spec = environments.describe(config.env, config.atari)
    saved = checkpoints.load(run, which)
    stage = make_rendered(config.env, config.atari)
    exam = job_builder.make_exam(config, spec, 1, seed, LATER_GAMES)
    score = 0.0
    try:
        for step in steps(exam, saved.evaluated, stage, saved.step):
            score += float(step.reward[0])
            yield stage.frame(), score
            if step.games:
                return
    finally:
        stage.close()


def _refuse_changes(run: Path, before: RunConfig, now: RunConfig) -> None:
    """Raise InputError where a run would go on with other settings than it was trained with, but for harmless ones."""
    old, new = (configuration.flatten(settings.model_dump()) for settings in (before, now))
    changed = [name for name in old if old[name] != new[name] and not name.startswith(HARMLESS)]
    if changed:
        told = ", ".join(f"{name} (it was {old[name]}, now {new[name]})" for name in changed)
        raise InputError(f"{run.name} was trained with other settings than its run.json has: {told}. Set them back.")


def _training_exam(config: RunConfig, spec: Spec) -> Exam | None:
    episodes = config.evaluation.episodes
    return job_builder.make_exam(config, spec, episodes, config.seed, TRAINING_GAMES) if episodes else None


def _config_of(run: Path, document: Mapping[str, Any]) -> RunConfig:
    try:
        return configuration.build(document["config"])
    except (InputError, KeyError) as error:
        raise InputError(f"The configuration in {run / 'run.json'} cannot be read: {error}") from None
