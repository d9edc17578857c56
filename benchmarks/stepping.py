"""What trainings of other libraries share: asyncrl's environments, one by one, and an observer of every step."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asyncrl.config import Atari
from asyncrl.envs.base import Array, Environments, Episode, Spec, Step
from asyncrl.envs.make import make
from asyncrl.errors import InputError
from asyncrl.text import error_text


class Observer(Protocol):
    """Gets every step of a training."""

    seed: int
    steps: int  # that the training has made in earlier processes
    checkpoint: Path | None  # the directory that it continues from; None: it begins

    def observe(self, worker: int, steps: int, episodes: Sequence[Episode], save: Callable[[Path], object]) -> bool:
        """Return whether the training goes on.

        Args:
            worker: the process that made the step, from 0 on.
            steps: made by all processes since the training began.
            episodes: those that ended in this step.
            save: writes a checkpoint into a directory.
        """
        ...


def one_environment(game: str) -> Environments:
    """Return one environment for training."""
    return make(game, 1, training=True, atari=Atari(), channels="auto", num_threads=1)


def body(spec: Spec) -> list[Any]:
    """Return layers like those of asyncrl's default networks: for frames, MinAtar's planes, or vectors."""
    from torch import nn

    if len(spec.obs_shape) == 1:
        return [nn.Linear(spec.obs_shape[0], 200), nn.ReLU()]
    planes = spec.obs_shape[0]
    if spec.obs_dtype != "uint8":
        return [nn.Conv2d(planes, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()]
    convolutions = [nn.Conv2d(planes, 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU()]
    return [*convolutions, nn.Flatten(), nn.Linear(2592, 256), nn.ReLU()]


class Stepper:
    """One environment whose episodes begin in the step that ended the last one.

    Attributes:
        start: the first observation of the next episode; valid after a step that ended one.
        episodes: those that ended in the last step.
    """

    def __init__(self, game: str, seed: int) -> None:
        """Make an environment and start its first episode."""
        self._environments = one_environment(game)
        self.start: Array = self._environments.reset([seed])[0]
        self.episodes: tuple[Episode, ...] = ()

    def step(self, action: int) -> Step:
        """Take one action."""
        step = self._environments.step(np.array([action]))
        self.start, self.episodes = step.obs[0], step.episodes
        return step

    def close(self) -> None:
        """Free the emulator."""
        self._environments.close()


def seeds(observer: Observer, count: int) -> list[int]:
    """Return seeds of environments; a training that goes on has other ones than at its beginning."""
    return [int(seed) for seed in np.random.SeedSequence((observer.seed, observer.steps)).generate_state(count)]


@contextmanager
def loading(checkpoint: Path | None) -> Iterator[None]:
    """Raise InputError that names the checkpoint where it cannot be loaded."""
    try:
        yield
    # a damaged file of torch raises almost any error
    except Exception as error:
        reason = f"The checkpoint {checkpoint} cannot be loaded: {error_text(error)}"
        raise InputError(f"{reason.rstrip('.')}. Without it the training begins again.") from None
