"""Environments that tell of the process they are in: how it acts, and how it dies."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import TimeLimit

from asyncrl.runtime.spawn import THREAD_VARIABLES
from tests.toys import Corridor, Counting, Forever, Toy


def counting(length: int) -> Counting:
    """Return Counting with episodes of another length."""
    env = Counting()
    env.LENGTH = length
    return env


class Terminating(gymnasium.Wrapper):
    """Says terminated where it should say truncated."""

    def step(self, action):
        """Mark the end wrongly."""
        obs, reward, over, cut, info = self.env.step(action)
        return obs, reward, over or cut, False, info


def mismarked() -> gymnasium.Env:
    """Return Forever, ended after 20 steps as if that were a terminal state."""
    return Terminating(TimeLimit(Forever(), 20))


class Spelling(Toy):
    """Sixteen steps, and a score that spells the actions in binary."""

    LENGTH = 16

    def act(self, action: int) -> tuple[float, bool]:
        """Gain the action's bit."""
        return float(action << (self.t - 1)), self.t == self.LENGTH


class UnhurriedSpelling(Spelling):
    """Takes two milliseconds for each step, so that a worker that starts later still takes a part of a budget."""

    def act(self, action: int) -> tuple[float, bool]:
        """Wait, then gain."""
        time.sleep(0.002)
        return super().act(action)


class Lingering(Corridor):
    """Leaves a thread behind that does not end, as simulators may."""

    thread = None

    def begin(self) -> None:
        """Start it, where this is a worker."""
        super().begin()
        if self.thread is None and multiprocessing.parent_process():
            self.thread = threading.Thread(target=time.sleep, args=(1_000,))
            self.thread.start()


class Unclosable(Corridor):
    """Does not return from ``close``, where this is a worker."""

    def close(self) -> None:
        """Sleep."""
        if multiprocessing.parent_process():
            time.sleep(1_000)


class Closing(Corridor):
    """Leaves a file where it is closed, and raises, where this is a worker."""

    def close(self) -> None:
        """Leave the file."""
        if multiprocessing.parent_process() is None:
            return
        Path(os.environ["CLOSED"], str(os.getpid())).touch()
        raise RuntimeError("it has gone already")


class Threads(Toy):
    """One step; the score is the number of torch's threads. In a worker the libraries' variables must have it too."""

    def act(self, action: int) -> tuple[float, bool]:
        """Look."""
        threads = torch.get_num_threads()
        if multiprocessing.parent_process():
            assert [os.environ.get(name) for name in THREAD_VARIABLES] == [str(threads)] * len(THREAD_VARIABLES)
        return float(threads), True


class OneStep(Toy):
    """Ends at its first step."""

    def act(self, action: int) -> tuple[float, bool]:
        """Gain the action."""
        return float(action), True


class Dice(Toy):
    """Ends after 1 … 50 steps, drawn at the start; the score is the length."""

    def begin(self) -> None:
        """Draw the length."""
        self.length = int(self.np_random.integers(1, 51))

    def act(self, action: int) -> tuple[float, bool]:
        """Gain 1."""
        return 1.0, self.t == self.length


class Fault(Corridor):
    """Does in worker 1 what ASYNCRL_TEST_FAULT says, in its hundredth step: ``raise`` or ``kill``.

    The forty steps before are slow, so that the worker reports its first episodes.
    """

    steps = 0

    def act(self, action: int) -> tuple[float, bool]:
        """Go, or not."""
        self.steps += 1
        if multiprocessing.current_process().name == "asyncrl-1" and 60 < self.steps <= 100:
            time.sleep(0.05)
        if multiprocessing.current_process().name == "asyncrl-1" and self.steps == 100:
            if os.environ.get("ASYNCRL_TEST_FAULT") == "raise":
                raise RuntimeError("the floor\ngave way")
            if os.environ.get("ASYNCRL_TEST_FAULT") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().act(action)


class Dozing(Corridor):
    """Falls asleep after 280 steps; the 80 before are slow, so that the worker reports its episodes."""

    steps = 0

    def act(self, action: int) -> tuple[float, bool]:
        """Go, or doze."""
        self.steps += 1
        if self.steps > 200:
            time.sleep(0.05 if self.steps <= 280 else 100)
        return super().act(action)


class SlowExam(Corridor):
    """Takes a tenth of a second for each step of an evaluation."""

    LIMIT = 5

    def act(self, action: int) -> tuple[float, bool]:
        """Wait, then go."""
        if multiprocessing.current_process().name == "asyncrl-evaluator":
            time.sleep(0.1)
        return super().act(action)


class Exiting(Corridor):
    """Ends its process in the tenth step, as if all were well."""

    def act(self, action):
        if self.t == 10:
            raise SystemExit(0)
        return super().act(0)


class Unplugged(Corridor):
    """Loses, in the tenth step, a connection of its own."""

    def act(self, action):
        if self.t == 10:
            raise BrokenPipeError("the simulator hung up")
        return super().act(0)


class Stillborn(Corridor):
    """Never begins in a worker."""

    def begin(self):
        """Fail."""
        if multiprocessing.current_process().name.startswith("asyncrl-"):
            raise RuntimeError("no licence")
        super().begin()


class Slow(Corridor):
    """Takes a twentieth of a second for each step."""

    def act(self, action):
        """Wait, then go."""
        time.sleep(0.05)
        return super().act(action)


class Unhurried(Corridor):
    """Takes two milliseconds for each step, so that a run of 10,000 steps lasts for seconds on any machine."""

    def act(self, action):
        """Wait, then go."""
        time.sleep(0.002)
        return super().act(action)


class Fragile(Corridor):
    """Raises in one step of a few hundred."""

    def act(self, action: int) -> tuple[float, bool]:
        """Go, or break."""
        if self.np_random.random() < 0.002:
            raise RuntimeError("the floor gave way")
        return super().act(action)


class Moody(Toy):
    """Shows what no seed decides."""

    def see(self):
        """Draw anew."""
        return np.frombuffer(os.urandom(2), np.uint8).astype(np.float32)[:1]

    def act(self, action: int) -> tuple[float, bool]:
        """Gain 1, five times."""
        return 1.0, self.t == 5
