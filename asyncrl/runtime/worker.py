"""The actor-learner: written once, for every algorithm. Its lines are those of Algorithms 1, S2 and S3."""

import gc
import math
import os
import time
import traceback
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asyncrl.envs.base import Array
from asyncrl.events import EpisodeEnd, Failure, Interval, WorkerState
from asyncrl.learners.base import Act
from asyncrl.networks.torsos import cache_activations
from asyncrl.optim import clip_
from asyncrl.rollout import Carry
from asyncrl.runtime.action_log import Record, Tape
from asyncrl.runtime.core_scheduler import Turns
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import PARK, STEPS, STOP, Shared, bind, bind_gradients
from asyncrl.runtime.process import enter
from asyncrl.runtime.profiler import Stopwatch
from asyncrl.runtime.stream import Stream

REPORT_SECONDS = 0.5
PARKED_SECONDS = 0.002
HOPELESS = 10_000  # updates in a row whose gradient is not finite; by then the parent has looked at the weights


def main(
    worker: int, job: Job, shared: Shared, pipe: Connection, saved: WorkerState | None = None, replaced: int = 0
) -> None:
    """Run an actor-learner in a process of its own until the budget or the parent's word; tell the parent of a failure.

    Args:
        worker: which of the W.
        job: the run's parts.
        shared: the memory.
        pipe: to the parent.
        saved: what an earlier session's worker left; None if it left nothing.
        replaced: how many processes have failed in its place; it draws other random numbers than they did.
    """
    enter(job.torch_threads)
    learner = None
    try:
        learner = ActorLearner(worker, job, shared, pipe, saved, replaced)
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not go through it again and again
        learner.run()
        gc.unfreeze()  # or the emulator's library would list on stderr, as leaks, all that was never collected
        with suppress(Exception):  # all has been said
            learner.tape.close()
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})"
        with suppress(OSError):  # the parent is gone
            played = (learner.tape.seeds, learner.made) if learner else ()
            pipe.send(Failure(worker, " ".join(reason.split()), traceback.format_exc(), *played))
        os._exit(1)  # whatever threads an environment may have left


class ActorLearner:
    """One worker's loop and its private state."""

    def __init__(
        self,
        worker: int,
        job: Job,
        shared: Shared,
        pipe: Connection,
        saved: WorkerState | None = None,
        replaced: int = 0,
    ) -> None:
        """See main."""
        self.worker, self.job, self.shared, self.pipe = worker, job, shared, pipe
        self.learner = job.learners[worker]
        key = (job.session, worker, replaced) if replaced else (job.session, worker)
        self._own_key = key
        self.key = tuple(saved.state.get("key", key)) if saved else key  # of this worker's random streams
        torch.manual_seed(int(self._seeds().generate_state(1, np.uint64)[0]))
        environments = self.tape = Tape(job.make_environments(), self._draw)
        self.net = job.make_network()
        self.local = torch.empty_like(shared.theta) if self.learner.snapshots else shared.theta  # θ′, or θ itself
        bind(self.net, self.local)
        self.grad = bind_gradients(self.net)  # dθ
        has_target = self.learner.target_period is not None
        self.target = bind(job.make_network().requires_grad_(False), shared.target) if has_target else self.net
        states = (job.t_max + 1) * environments.num_envs  # of a rollout
        capacity = states if self.learner.snapshots else 0  # θ itself moves at any time
        self.clear_cache = cache_activations(self.net, capacity)
        first = [self._draw(env, 0) for env in range(environments.num_envs)]
        fresh = self.net.initial_carry(environments.num_envs)  # type: ignore[operator]
        self.stream = Stream(environments, first, job.t_max, job.gamma, fresh, self.learner.looks_ahead)
        if saved:  # last: the networks above drew initial weights
            self._restore(saved)
        self.turns = Turns(shared, worker, job.cores)
        self.stopwatch = Stopwatch(job.profile)
        self.sums: Counter[str] = Counter()
        self.steps = self.updates = self.skipped = 0  # since the last report
        self.made = 0  # steps in all
        self.in_a_row = 0  # skipped
        self.reported = time.monotonic()

    def _seeds(self, *more: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.job.seed, spawn_key=(*self.key, *more))

    def _draw(self, env: int, k: int) -> int:
        """Return the seed of an environment's k-th seeded game, 31 bits."""
        if k:
            return int(self._seeds(0, env, k).generate_state(1)[0] >> 1)
        return int(self._seeds(0).generate_state(env + 1)[env] >> 1)

    def _restore(self, saved: WorkerState) -> None:
        """Go on where an earlier session's worker stopped, environments included if they do again what they did."""
        torch.set_rng_state(torch.frombuffer(bytearray.fromhex(saved.state["torch_rng"]), dtype=torch.uint8))
        if "record" not in saved.state:
            self._begin_anew("had done more than is kept")
            return
        record = Record(**saved.state["record"], actions=saved.arrays["actions"])
        try:
            obs = self.tape.play_back(record, self._stay)
        except Exception:
            self._begin_anew("failed as they repeated what they had done", traceback.format_exc())
        else:
            if not self.stream.restore(saved.arrays, obs):
                self._begin_anew("did not repeat what they had done")
        self.shared.beat(self.worker, 0)

    def _stay(self, row: int) -> None:
        """Say that this worker lives, and leave if that is asked for; what was saved of it stays as it is."""
        self.shared.beat(self.worker, row + 1)
        if self.shared.is_ordered(STOP):
            os._exit(0)

    def _begin_anew(self, reason: str, trace: str = "") -> None:
        """Start new games where the old ones cannot go on, and say so."""
        self.key = self._own_key  # of this session: other seeds than before
        self.stream.begin([self._draw(env, 0) for env in range(self.tape.num_envs)])
        what = f"worker {self.worker}'s environments {reason}; their games begin anew"
        self.pipe.send(Failure(self.worker, what, trace, is_final=False))

    def run(self) -> None:
        """Repeat until T > T_max."""
        while self.is_wanted():
            self.update()
            if self.shared.is_ordered(PARK):
                self.park()
            elif time.monotonic() - self.reported > REPORT_SECONDS:
                self.report()
        self.report()
        self.send_state()
        self.pipe.close()

    def is_wanted(self) -> bool:
        """Wait for this worker's turn, and say whether there is more to do."""
        self.turns.next()
        self.stopwatch.lap("waiting")
        return self.shared.T < self.job.budget and not self.shared.is_ordered(STOP)

    def update(self) -> None:
        """Collect one rollout and apply its gradient."""
        shared, job, learner = self.shared, self.job, self.learner
        lap = self.stopwatch.lap
        if learner.snapshots:
            self.local.copy_(shared.theta)  # θ′ ← θ
            self.clear_cache()
        born, T = shared.updates, shared.T
        self.grad.zero_()  # dθ ← 0
        lap("apply")

        def act(obs: Tensor, carry: Carry) -> Act:
            lap("environment")  # what came before
            choice = learner.act(self.net, obs, carry, T)
            lap("act")
            return choice

        rollout, games = self.stream.collect(act)  # ≤ t_max steps
        lap("environment")
        steps = rollout.reward.numel()
        before, after = shared.advance(self.worker, steps)  # T ← T + 1, each
        loss = learner.loss(self.net, self.target, rollout)
        loss.total.backward()  # type: ignore[no-untyped-call]  # dθ ← dθ + ∂loss/∂θ′
        lap("learn")
        norm = clip_(self.grad, job.clip)
        lag = shared.updates - born  # what others wrote since the snapshot
        is_finite = math.isfinite(norm)
        if is_finite:
            shared.apply(self.worker, job.optimizer, self.grad, job.learning_rate(before))  # θ ← θ − …, no lock
            if job.averaging:
                shared.update_average(self.worker, job.averaging)
        shared.sync_target(before, after, learner.target_period)  # if T mod I_target = 0: θ⁻ ← θ
        lap("apply")
        self.steps += steps
        self.made += steps
        self.updates += is_finite
        self.skipped += not is_finite
        self.in_a_row = 0 if is_finite else self.in_a_row + 1
        if self.in_a_row == HOPELESS:
            raise FloatingPointError(f"{HOPELESS} updates in a row without a finite gradient")
        if is_finite:
            values = {name: float(value) for name, value in loss.statistics.items()}
            per_step = float(loss.total.detach()) / steps
            self.sums.update(values | {"loss": per_step, "grad_norm": norm, "policy_lag": lag})
        for game, epsilon in games:
            when = after, shared.updates
            self.pipe.send(EpisodeEnd(self.worker, game.score, game.length, *when, epsilon, game.completed))
        lap("events")

    def report(self) -> None:
        """Tell the parent what was done since the last report."""
        counts = self.steps, self.updates, self.skipped
        everybody = self.shared.T, self.shared.updates
        self.pipe.send(Interval(self.worker, *counts, dict(self.sums), *everybody, self.stopwatch.take()))
        self.sums.clear()
        self.steps = self.updates = self.skipped = 0
        self.reported = time.monotonic()
        self.stopwatch.lap("events")

    def park(self) -> None:
        """Stand still between two rollouts, everything told, until the parent goes on."""
        pause = self.shared.ordered(PARK)
        self.report()
        self.send_state()
        self.stopwatch.lap("events")
        self.turns.leave()
        self.shared.set_parked(self.worker, True)
        while pause and self.shared.ordered(PARK) == pause and not self.shared.is_ordered(STOP):
            time.sleep(PARKED_SECONDS)
        self.stopwatch.lap("waiting")
        self.shared.set_parked(self.worker, False)

    def send_state(self) -> None:
        """Send what a later session needs."""
        state: dict[str, Any] = {"torch_rng": bytes(torch.get_rng_state().numpy()).hex()}
        state["steps"] = int(self.shared.counters[self.worker, STEPS])  # by which to know whether it is the last
        arrays: dict[str, Array] = {}
        if record := self.tape.record:
            state |= {"key": self.key, "record": record._asdict()}
            arrays = self.stream.state() | {"actions": state["record"].pop("actions")}
        self.pipe.send(WorkerState(self.worker, state, arrays))
