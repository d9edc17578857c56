"""Simulated time: what each phase costs, in which order workers get cores, and how late gradients are applied."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncrl.costs import Costs, PhaseCost

STREAM = 2**32 - 4  # spawn key of the random numbers of costs and delays
MICROSECOND = 1e-6
TURN_ROLLOUTS = 25  # as core_scheduler's


@dataclass(frozen=True)
class Simulation:
    """How virtual time passes in a run."""

    costs: Costs
    jitter: float = 0.0  # σ of the logarithm of each cost
    cores: int | None = None  # fewer than workers; None: one for each
    has_turns: bool = True  # on fewer cores: turns of TURN_ROLLOUTS, else first come first served by phase
    delay: int = 0  # updates between a gradient and its application
    is_delay_drawn: bool = False  # uniformly from 0 to 2 · delay
    speeds: tuple[float, ...] = (1.0,)  # of the workers in turn
    batch_cores: int = 1  # on which A2C's one worker steps its environments, acts and learns
    efficiency: float = 1.0  # of these cores while they act and learn


class Durations:
    """Virtual seconds of one worker's phases."""

    def __init__(self, simulation: Simulation, seed: int, worker: int) -> None:
        """Draw from a stream of the run's seed and the worker's number."""
        self._simulation = simulation
        self._factor = MICROSECOND / simulation.speeds[worker % len(simulation.speeds)]
        sequence = np.random.SeedSequence(seed, spawn_key=(STREAM, worker))
        self._random = np.random.Generator(np.random.PCG64(sequence))

    def seconds(self, phase: str, n: int) -> float:
        """Return how long a phase takes, with n environments or states."""
        simulation = self._simulation
        cost: PhaseCost = getattr(simulation.costs, phase)
        cores, sigma = simulation.batch_cores, simulation.jitter
        if cores == 1:
            mean, draws = cost.of(n), 1
        elif phase == "environment":
            mean, draws = cost.of(math.ceil(n / cores)), cores  # the slowest core ends the phase
        else:
            mean, draws = cost.base + cost.each * n / max(1.0, cores * simulation.efficiency), 1
        if sigma == 0:
            return self._factor * mean
        highest = self._random.standard_normal() if draws == 1 else self._random.standard_normal(draws).max()
        return float(self._factor * mean * math.exp(sigma * highest - sigma * sigma / 2))

    def start(self, worker: int, workers: int, t_max: int, envs: int) -> float:
        """Return when a worker starts: workers are spread over one rollout, but all start at 0 without jitter."""
        if self._simulation.jitter == 0:
            return 0.0
        costs = self._simulation.costs
        steps = t_max * (costs.act.of(envs) + costs.environment.of(envs))
        rollout = costs.pull.base + steps + costs.learn.of(t_max * envs) + costs.apply.base
        return self._factor * rollout * worker / workers

    def delay(self) -> int:
        """Return how many updates the next gradient is late."""
        most = self._simulation.delay
        # ``integers`` would keep half of a drawn word, which ``state`` does not have.
        return int(self._random.random() * (2 * most + 1)) if self._simulation.is_delay_drawn else most

    @property
    def state(self) -> list[str]:
        """Return the state of the random numbers, as hexadecimal numbers."""
        state: Any = self._random.bit_generator.state["state"]
        return [f"{state[name]:x}" for name in ("state", "inc")]

    @state.setter
    def state(self, words: list[str]) -> None:
        state, inc = (int(word, 16) for word in words)
        own: Any = self._random.bit_generator.state
        self._random.bit_generator.state = own | {"state": {"state": state, "inc": inc}, "has_uint32": 0, "uinteger": 0}


class Cores:
    """Fewer cores than workers: a worker has a core for its turn, and waits for it in the order of arrival."""

    def __init__(self, cores: int, turn: int) -> None:
        """Share cores in turns of some units: rollouts, or phases that act on shared numbers."""
        self._free, self._turn = cores, turn
        self._left: dict[int, int] = {}  # units of the turn, by worker with a core
        self._waiting: deque[int] = deque()
        self.granted: list[int] = []  # workers that have just got a core

    def enter(self, worker: int) -> bool:
        """Return whether a worker has a core; if not, it waits, and will be in ``granted``."""
        if self._left.get(worker, 0) > 0:
            return True
        self.leave(worker)
        if not self._free:
            self._waiting.append(worker)
            return False
        self._free -= 1
        self._left[worker] = self._turn
        return True

    def leave(self, worker: int) -> None:
        """Take the core of a worker, if it has one, and give it to the first that waits."""
        if self._left.pop(worker, None) is None:
            return
        if self._waiting:
            first = self._waiting.popleft()
            self._left[first] = self._turn
            self.granted.append(first)
        else:
            self._free += 1

    def spend(self, worker: int) -> None:
        """Count one unit of a worker's turn."""
        self._left[worker] -= 1
