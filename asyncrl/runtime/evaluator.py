"""Evaluation: whole, unclipped games of a snapshot, played in a process of its own."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyncrl.envs.base import Environments, Game, Step
from asyncrl.events import Evaluated, Failure
from asyncrl.learners.base import Learner
from asyncrl.runtime.parameters import bind
from asyncrl.runtime.process import CONTEXT, enter, start
from asyncrl.runtime.stream import forget

MAX_TOGETHER = 16  # games played side by side
REPEATS = 3  # of an evaluation that raised or hung, in a row: it may well do so again
BEAT_SECONDS = 1.0
PATIENCE = 5  # times hang_seconds without a step, before the process is taken to hang
TRAINING_GAMES, LATER_GAMES = 2**32 - 2, 2**32 - 3  # spawn keys: the best of the first must not be judged by them again


@dataclass(frozen=True)
class Exam:
    """What an evaluation is made of; picklable."""

    learner: Learner[Any]  # with the ε of evaluations
    make_network: Callable[[], nn.Module]
    make_environments: Callable[[int], Environments]  # from a number of games; the evaluation protocol
    episodes: int
    seed: int
    threads: int
    stream: int  # TRAINING_GAMES, or LATER_GAMES of ``asyncrl eval``
    hang_seconds: float = 60.0  # of a worker's; here games start, and many are stepped in turn
    restarts: int = 10  # of a process that died, in a row


def play(
    exam: Exam, theta: Tensor, environments: Environments, T: int, beat: Callable[[], None] = lambda: None
) -> Evaluated:
    """Play exactly ``exam.episodes`` games with weights ``[P]``; every game that is started counts, however long.

    The same weights, seed and T give the same games. ``beat`` is called at every step.
    """
    started = environments.num_envs
    counted = [True] * started  # environments whose game counts
    games: list[Game] = []
    for step in steps(exam, theta, environments, T):
        beat()
        for game in step.games:
            if counted[game.env]:
                games.append(game)
                counted[game.env] = started < exam.episodes
                started += counted[game.env]
        if not any(counted):
            break
    return Evaluated(T, tuple(game.score for game in games), tuple(game.length for game in games))


def steps(exam: Exam, theta: Tensor, environments: Environments, T: int) -> Iterator[Step]:
    """Act in all environments with weights ``[P]``, game after game, without end."""
    if not theta.isfinite().all():
        raise FloatingPointError("the weights are not finite")
    sequence = np.random.SeedSequence(exam.seed, spawn_key=(exam.stream, T))
    seeds = sequence.generate_state(environments.num_envs + 1)
    torch.manual_seed(int(seeds[-1]))
    net = bind(exam.make_network(), theta)
    carry = net.initial_carry(environments.num_envs)  # type: ignore[operator]
    obs = environments.reset([int(seed) >> 1 for seed in seeds[:-1]])  # 31 bits
    while True:
        with torch.no_grad():
            choice = exam.learner.act(net, torch.from_numpy(obs), carry, T)
        step = environments.step(choice.action.numpy())
        yield step
        obs, carry = step.obs, forget(choice.carry, step.terminated | step.truncated)


def examine(exam: Exam, theta: Tensor, T: int) -> Evaluated:
    """Evaluate in this process."""
    environments = exam.make_environments(min(exam.episodes, MAX_TOGETHER))
    try:
        return play(exam, theta, environments, T)
    finally:
        environments.close()


class Examiner:
    """A process that evaluates the snapshots it is sent; another takes its place if it fails, dies or hangs."""

    def __init__(self, exam: Exam) -> None:
        """Start the process."""
        self._exam = exam
        self._failures: Counter[bool] = Counter()  # in a row; of processes that died, and others
        self._begin()

    def _begin(self) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = start(_main, (self._exam, theirs), "asyncrl-examiner", self._exam.threads)
        theirs.close()
        self._silent = 0.0  # seconds that were waited for it in vain

    def send(self, theta: Tensor, T: int) -> None:
        """Hand over a copy of ``[P]`` weights."""
        self._asked = theta.numpy().copy(), T
        self._silent = 0.0
        with suppress(OSError):  # it is dead, as hear will tell
            self._pipe.send(self._asked)

    def hear(self, timeout: float) -> Evaluated | Failure | None:
        """Return the result, or None if there is none within ``timeout`` seconds.

        A Failure that is not final means that the evaluation has begun again.
        """
        try:
            if self._pipe.poll(timeout):
                said = cast("Evaluated | Failure | None", self._pipe.recv())  # None: it has made a step
                self._silent = 0.0
                if isinstance(said, Failure):
                    return self._replace(said, is_accident=False)
                if said is not None:
                    self._failures.clear()
                return said
        except (EOFError, OSError):
            self.close()  # only then there is an exit code
            code = self._process.exitcode
            died = Failure(-1, f"the evaluation died without a word (exit code {code})", "")
            return self._replace(died, is_accident=True)
        self._silent += timeout
        if self._silent <= PATIENCE * self._exam.hang_seconds:
            return None
        hung = Failure(-1, f"the evaluation hung: it made no step for {self._silent:.0f} seconds", "")
        return self._replace(hung, is_accident=False)

    def _replace(self, failure: Failure, is_accident: bool) -> Failure:
        """Have another process begin again, unless there were too many of that kind."""
        self.close()
        self._failures[is_accident] += 1
        is_final = self._failures[is_accident] > (self._exam.restarts if is_accident else REPEATS)
        if not is_final:
            self._begin()
            with suppress(OSError):
                self._pipe.send(self._asked)
        return failure._replace(is_final=is_final)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _main(exam: Exam, pipe: "Connection[Any, Any]") -> None:
    enter(exam.threads)
    environments, told = None, 0.0

    def beat() -> None:
        nonlocal told
        if time.monotonic() - told > BEAT_SECONDS:
            told = time.monotonic()
            pipe.send(None)

    while True:
        try:
            theta, T = pipe.recv()
        except EOFError:
            return
        try:
            environments = environments or exam.make_environments(min(exam.episodes, MAX_TOGETHER))
            pipe.send(play(exam, torch.from_numpy(theta), environments, T, beat))
        except Exception as error:
            reason = " ".join(f"the evaluation failed: {type(error).__name__}: {error}".split())
            pipe.send(Failure(-1, reason, traceback.format_exc()))
            return
