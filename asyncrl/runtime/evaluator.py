"""Evaluation: whole, unclipped episodes with a snapshot of the weights, played in a process of its own."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyncrl.envs.base import Environments, Episode, Step
from asyncrl.errors import InputError
from asyncrl.events import Evaluated, Incident, Severity
from asyncrl.learners.base import Learner
from asyncrl.networks.flat import bind
from asyncrl.rollout import reset_carry
from asyncrl.runtime.protocols import Vector
from asyncrl.runtime.spawn import CONTEXT, enter, start
from asyncrl.text import error_text, one_line, traceback_text

MAX_TOGETHER = 16  # episodes played side by side
REPEATS = 3  # of an evaluation that raised or hung, in a row: it may well do so again
BEAT_SECONDS = 1.0
PATIENCE = 5  # times hang_seconds without a step, before the process is taken to hang
TRAINING_EPISODES, LATER_EPISODES = (
    2**32 - 2,
    2**32 - 3,
)  # spawn keys: the best checkpoint is not judged by the same episodes


@dataclass(frozen=True)
class EvaluationSpec:
    """What an evaluation is made of; picklable."""

    learner: Learner[Any]  # with the ε of evaluations
    make_network: Callable[[], nn.Module]
    make_environments: Callable[[int], Environments]  # from a number of episodes; under the evaluation protocol
    episodes: int
    seed: int
    threads: int
    stream: int  # TRAINING_EPISODES, or LATER_EPISODES of ``asyncrl eval``
    hang_seconds: float = 60.0  # of a worker's; here episodes start, and many are stepped in turn
    restarts: int = 10  # of a process that died, in a row


def play_episodes(
    spec: EvaluationSpec, theta: Tensor, environments: Environments, T: int, beat: Callable[[], None] = lambda: None
) -> Evaluated:
    """Play exactly ``spec.episodes`` episodes with weights ``[P]``; every episode that is started counts, however long.

    The same weights, seed and T give the same episodes. ``beat`` is called at every step.
    """
    started = environments.num_envs
    counted = [True] * started  # environments whose episode counts
    episodes: list[Episode] = []
    for step in play(spec, theta, environments, T):
        beat()
        for episode in step.episodes:
            if counted[episode.env]:
                episodes.append(episode)
                counted[episode.env] = started < spec.episodes
                started += counted[episode.env]
        if not any(counted):
            break
    return Evaluated(
        T=T, scores=tuple(episode.score for episode in episodes), lengths=tuple(episode.length for episode in episodes)
    )


def play(spec: EvaluationSpec, theta: Tensor, environments: Environments, T: int) -> Iterator[Step]:
    """Act in all environments with weights ``[P]``, episode after episode, without end."""
    if not theta.isfinite().all():
        raise FloatingPointError("the weights are not finite")
    sequence = np.random.SeedSequence(spec.seed, spawn_key=(spec.stream, T))
    seeds = sequence.generate_state(environments.num_envs + 1)
    torch.manual_seed(int(seeds[-1]))
    net = bind(spec.make_network(), theta)
    generator = torch.Generator()
    generator.set_state(torch.get_rng_state())
    carry = net.initial_carry(environments.num_envs)  # type: ignore[operator]
    obs = environments.reset([int(seed) >> 1 for seed in seeds[:-1]])  # 31 bits
    while True:
        with torch.no_grad():
            choice = spec.learner.act(net, torch.from_numpy(obs), carry, T, generator)
        step = environments.step(choice.action.numpy())
        yield step
        obs, carry = step.obs, reset_carry(choice.carry, step.terminated | step.truncated)


def evaluate(spec: EvaluationSpec, theta: Tensor, T: int) -> Evaluated:
    """Evaluate in this process."""
    environments = spec.make_environments(min(spec.episodes, MAX_TOGETHER))
    try:
        return play_episodes(spec, theta, environments, T)
    finally:
        environments.close()


class Evaluator:
    """A process that evaluates the snapshots it is sent; another one replaces it if it fails, dies or hangs."""

    def __init__(self, spec: EvaluationSpec) -> None:
        """Start the process."""
        self._spec = spec
        self._failures: Counter[bool] = Counter()  # in a row; True: of processes that died
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self.process = start(_main, (self._spec, theirs), "asyncrl-evaluator", self._spec.threads)
        theirs.close()
        self._silent = 0.0  # seconds without a heartbeat

    def submit(self, theta: Vector, T: int) -> None:
        """Send a copy of ``[P]`` weights to be evaluated."""
        self._request = theta.copy(), T
        self._silent = 0.0
        with suppress(OSError):  # it is dead, as ``poll`` will report
            self._pipe.send(self._request)

    def poll(self, timeout: float) -> Evaluated | Incident | None:
        """Return the result, or None if there is none within ``timeout`` seconds.

        After an Incident that is not fatal the evaluation has begun again.
        """
        try:
            if self._pipe.poll(timeout):
                message = cast("Evaluated | Incident | None", self._pipe.recv())  # None: a heartbeat
                self._silent = 0.0
                if isinstance(message, Incident):
                    return self._replace(message, is_accident=False)
                if message is not None:
                    self._failures.clear()
                return message
        except (EOFError, OSError):
            self.close()  # only then there is an exit code
            code = self.process.exitcode
            return self._replace(_incident(f"exited unexpectedly (exit code {code})"), is_accident=True)
        self._silent += timeout
        if self._silent <= PATIENCE * self._spec.hang_seconds:
            return None
        return self._replace(_incident(f"hung: it made no step for {self._silent:.0f} seconds"), is_accident=False)

    def _replace(self, incident: Incident, is_accident: bool) -> Incident:
        """Have another process begin again, unless there were too many of that kind."""
        self.close()
        self._failures[is_accident] += 1
        if self._failures[is_accident] > (self._spec.restarts if is_accident else REPEATS):
            return incident
        self._start()
        with suppress(OSError):
            self._pipe.send(self._request)
        return incident._replace(severity=Severity.RECOVERED)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self._pipe.close()


def _incident(what: str, trace: str = "") -> Incident:
    return Incident(source="evaluation", severity=Severity.FATAL, message=f"the evaluation {what}", traceback=trace)


def _main(spec: EvaluationSpec, pipe: "Connection[Any, Any]") -> None:
    enter(spec.threads)
    environments, sent = None, 0.0

    def beat() -> None:
        nonlocal sent
        if time.monotonic() - sent > BEAT_SECONDS:
            sent = time.monotonic()
            pipe.send(None)

    while True:
        try:
            theta, T = pipe.recv()
        except EOFError:
            return
        try:
            environments = environments or spec.make_environments(min(spec.episodes, MAX_TOGETHER))
            pipe.send(play_episodes(spec, torch.from_numpy(theta), environments, T, beat))
        # an environment may raise anything; Ctrl-C does not reach this process
        except BaseException as error:
            # The text of an InputError names the user's class.
            told = one_line(str(error)) if isinstance(error, InputError) else error_text(error)
            pipe.send(_incident(f"failed: {told}", traceback_text(error)))
            return
