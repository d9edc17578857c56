"""Events of a run: messages of the workers and the evaluator to the parent process, and incidents in the parent."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asyncrl import text

RECENT_EPISODES = 100  # in a mean score


class EpisodeEnd(NamedTuple):
    """A finished training episode."""

    worker: int
    score: float  # true, unclipped sum of rewards
    length: int  # steps
    T: int  # global steps when it ended
    updates: int  # global, applied until then
    epsilon: float | None  # exploration at its end; None for a policy method
    completed: bool = True  # False where a cap cut it short
    clock: float | None = None  # virtual seconds; None: the run is not simulated


class Interval(NamedTuple):
    """What one worker did since its last Interval, as sums; ``Metrics.write`` divides them."""

    worker: int
    steps: int
    updates: int
    skipped: int  # gradients that were not finite, and not applied
    sums: dict[str, float]  # learner's statistics summed over updates, e.g. "loss", "entropy", "grad_norm"
    T: int
    global_updates: int  # updates applied by all workers, including workers that have died
    seconds: dict[str, float]  # in each phase of the worker's loop; empty where a run is not profiled
    lags: Mapping[int, int] = MappingProxyType({})  # updates by the number of binary digits of their policy lag
    clock: float | None = None  # virtual seconds; None: the run is not simulated


class WorkerState(NamedTuple):
    """What a worker needs in order to continue where it stopped."""

    worker: int
    state: dict[str, Any]  # JSON-able: random streams, and how its environments came to where they are
    arrays: dict[str, NDArray[np.generic]]  # the actions taken, the last observation, the carry


class Severity(StrEnum):
    """What an incident means for the run."""

    FATAL = "fatal"  # it ends the run
    RECOVERED = "recovered"  # the run continues, or was ending anyway


class Incident(NamedTuple):
    """Something that went wrong, in a worker or elsewhere."""

    source: str  # "worker", "evaluation", "weights", "store", "node", "shard", "server" or "session"
    severity: Severity
    message: str  # one line
    traceback: str = ""
    worker: int | None = None  # None: it does not belong to one worker
    seeds: tuple[int, ...] = ()  # last seeds of the worker's environments, if known
    steps: int = 0  # made by the worker's process before the incident
    is_replaced: bool = False  # by another process
    is_new_start: bool = False  # the worker's episodes could not continue, and began anew

    @property
    def is_fatal(self) -> bool:
        """Return whether it ends the run."""
        return self.severity is Severity.FATAL

    def bounded(self) -> "Incident":
        """Return the incident with printable texts of a few KiB at most."""
        return self._replace(message=text.one_line(self.message), traceback=text.bounded(self.traceback))

    def row(self) -> dict[str, Any]:
        """Return the columns of failures.jsonl; their names are those of the first release."""
        shown = self.bounded()
        return {
            "source": self.source,
            "worker": -1 if self.worker is None else self.worker,
            "reason": shown.message,
            "traceback": shown.traceback,
            "seeds": self.seeds,
            "played": self.steps,
            "is_final": self.is_fatal,
            "is_replaced": self.is_replaced,
        }


class Pushes(NamedTuple):
    """What the parameter server of several nodes did with their pushes since its last Pushes."""

    outcomes: Mapping[str, int]  # pushes by what was done with them
    staleness: Mapping[int, int]  # those whose gradient was applied, by the number of binary digits of its staleness


class Evaluated(NamedTuple):
    """The finished evaluation of one snapshot."""

    T: int
    scores: tuple[float, ...]  # one for each episode, unclipped
    lengths: tuple[int, ...]  # steps


Event: TypeAlias = EpisodeEnd | Interval | WorkerState | Incident | Pushes | Evaluated
Message: TypeAlias = Event | list[EpisodeEnd] | list[Event]
"""What a worker sends at one time."""
