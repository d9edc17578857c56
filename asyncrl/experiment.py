"""Train, resume, evaluate and play runs: what the command line and Python programs call."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncrl.config import RunConfig
from asyncrl.envs.base import Spec
from asyncrl.envs.contract import played_by_user
from asyncrl.envs.render import make_rendered
from asyncrl.runtime.evaluator import LATER_EPISODES
from asyncrl.runtime.evaluator import evaluate as evaluate_weights
from asyncrl.runtime.evaluator import play as play_steps
from asyncrl.runtime.spawn import require_main_guard
from asyncrl.store import checkpoint as checkpoints
from asyncrl.store import runs
from asyncrl.store.rows import Writer
from asyncrl.training import checkpointing, job_builder, opening, simulated
from asyncrl.training.ending import WorkersLost
from asyncrl.training.metrics import evaluation_row
from asyncrl.training.opening import PoolMaker
from asyncrl.training.progress import Progress, ShowProgress
from asyncrl.training.reopening import protocol_of, reopen
from asyncrl.training.session import Session


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
    make_pool: PoolMaker | None = None,
) -> Path:
    """Train from the beginning and return the run's directory.

    Args:
        config: as ``job_builder.resolve`` returns it.
        results: the directory of all runs.
        name: the run's id; None: made from the settings.
        show: the live view, see ``ShowProgress``.
        spec: the environment's spaces, if they are known already.
        handle_signals: see ``Session.run``.
        tags: stored with the run: the sweep and the cell that it belongs to.
        make_pool: makes the pool of workers, such as that of a cluster; None: processes of this machine.

    Raises:
        InputError: nothing was written.
        RunFailed: a worker failed, or the disk is full; the run is readable and can be resumed.
        Stopped: by a signal; the run can be resumed.
    """
    require_main_guard()
    run, session = opening.new_session(config, results, name, show, spec, tags, make_pool)
    with runs.hold(run):
        try:
            return _train_to_end(run, session, show, handle_signals)
        finally:
            if config.profile and not config.is_simulated:
                with suppress(OSError):  # a full disk
                    simulated.write_costs(run, config)


def _train_to_end(run: Path, session: Session, show: ShowProgress, handle_signals: bool = True) -> Path:
    """Train; a simulated run whose process dies goes back to its last checkpoint, up to ``workers.restarts`` times."""
    losses: Counter[int] = Counter()
    while True:
        try:
            return session.run(handle_signals)
        except WorkersLost:
            step = checkpoints.load(run).step
            losses[step] += 1
            session = opening.resumed_session(run, {}, show, losses[step])


def resume(
    run: Path,
    frames: int | None = None,
    show: ShowProgress = ignore,
    handle_signals: bool = True,
    trackers: Sequence[str] | None = None,
    make_pool: PoolMaker | None = None,
) -> Path:
    """Continue a run from its last intact checkpoint: counters, schedules, weights, g and random numbers as they were.

    Args:
        run: its directory.
        frames: a new budget, in frames; the learning rate is then annealed to that, unless
            optimizer.anneal_frames is set. None: as it was.
        show: the live view, see ``ShowProgress``.
        handle_signals: see ``Session.run``.
        trackers: names of those that get the metrics from now on; None: as they were.
        make_pool: as in train.

    Raises:
        CheckpointError: no checkpoint can be used.
        InputError: nothing is left to do, the machine is too small, or another process trains it.
        RunFailed, Stopped: as in train.
    """
    require_main_guard()
    runs.open_document(run)  # raises if this is no run or a damaged one, before anything is written
    with runs.hold(run):
        changes = {name: value for name, value in (("frames", frames), ("trackers", trackers)) if value is not None}
        session = opening.resumed_session(run, changes, show, make_pool=make_pool)
        return _train_to_end(run, session, show, handle_signals)


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
    rendered = make_rendered(config.env, config.atari, config.channels, config.env_args)
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
