"""A node's part of the parameters: copies of θ and θ⁻, and the sum of gradients that its workers share.

No lock, one writer for each number: a worker writes its own row, the node agent the columns TAKEN and ANSWERED, the
copies and what is known of the server. Only the sum has several writers, as θ in Hogwild: the agent subtracts what it
has taken, so that a gradient that is added meanwhile stays in the sum.
"""

import time
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncrl.cluster.messages import Answer, Joined
from asyncrl.networks.flat import bind
from asyncrl.runtime.protocols import Vector
from asyncrl.runtime.shared_memory import ROW, share

# Columns of a worker's row. STEPS counts all of its steps, SUMMED those up to its last update: the steps of a rollout
# whose gradient is not in the sum yet are pushed with that gradient.
STEPS, UPDATES, SUMMED, BASE, TAKEN, ANSWERED = range(6)
OTHERS, VERSION = range(2)  # T without the steps that the node has not pushed or has pushed itself; version of θ
WAIT_SECONDS = 0.0001  # between two checks whether an update is answered


class Taken(NamedTuple):
    """What workers have added since the last time, for a Push."""

    base_version: int
    gradient: Vector | None
    updates: int
    steps: tuple[int, ...]


class NodeParameters:
    """A ParameterStore of the workers of one node; it can be sent to a spawned process."""

    def __init__(self, joined: Joined, workers: range, all_workers: int, waits: bool) -> None:
        """Put what the server has answered into shared memory.

        Args:
            joined: the answer.
            workers: the numbers of this node's workers.
            all_workers: how many there are in all nodes.
            waits: whether a worker waits until each of its updates is answered.
        """
        answer = joined.answer
        assert answer.target is not None
        self.workers, self._waits = workers, waits
        self._theta = share(torch.from_numpy(answer.theta.copy()))
        self._target = share(torch.from_numpy(answer.target.copy()))
        self._sum = share(torch.zeros(len(answer.theta)))
        self._counters = share(torch.zeros(all_workers, ROW, dtype=torch.int64))
        self._known = share(torch.zeros(ROW, dtype=torch.int64))
        # the version of this process's snapshot; None: its network is bound to the node's θ
        self._pulled: int | None = None
        for column in (STEPS, SUMMED):
            self._rows[:, column] = joined.steps
        self._pushed = self._rows[:, SUMMED].copy()
        self.targets = 0
        self.receive(answer)

    @staticmethod
    def size(parameters: int) -> int:
        """Return about how many bytes a node's copies and its sum take; a node without θ⁻ takes less."""
        return 3 * 4 * parameters

    @property
    def _counts(self) -> NDArray[np.int64]:
        return self._counters.numpy()

    @property
    def _rows(self) -> NDArray[np.int64]:
        return self._counts[self.workers.start : self.workers.stop]

    # For workers.

    @property
    def T(self) -> int:
        """See ParameterStore: what the server knew at its last answer, and all steps of this node."""
        return int(self._known.numpy()[OTHERS] + self._rows[:, STEPS].sum())

    @property
    def updates(self) -> int:
        """See ParameterStore: the version of the node's θ."""
        return int(self._known.numpy()[VERSION])

    def steps(self, worker: int) -> int:
        """See WorkerParameters."""
        return int(self._counts[worker, STEPS])

    def pull(self, local: Tensor) -> None:
        """See ParameterStore."""
        self._pulled = self.updates
        local.copy_(self._theta)

    def bind(self, net: nn.Module) -> None:
        """See ParameterStore."""
        bind(net, self._theta)

    def bind_target(self, net: nn.Module) -> None:
        """See ParameterStore."""
        bind(net, self._target)

    def advance(self, worker: int, steps: int) -> tuple[int, int]:
        """See ParameterStore."""
        before = self.T
        self._counts[worker, STEPS] += steps
        return before, self.T

    def apply(self, worker: int, grad: Tensor, T: int) -> None:
        """Add a gradient to the sum, and wait for the answer where that is asked for."""
        row = self._counts[worker]
        if row[UPDATES] == row[TAKEN]:
            row[BASE] = self.updates if self._pulled is None else self._pulled
        self._sum.add_(grad)
        row[SUMMED] = row[STEPS]
        row[UPDATES] += 1
        while self._waits and not self.is_answered(worker):
            time.sleep(WAIT_SECONDS)

    def is_answered(self, worker: int) -> bool:
        """Return whether the server has answered all updates of a worker."""
        row = self._counts[worker]
        return bool(row[ANSWERED] >= row[UPDATES])

    def sync_target(self, before: int, after: int) -> None:
        """Do nothing: the server copies θ to θ⁻, and its answers have θ⁻."""

    # For the node agent.

    @property
    def pending(self) -> int:
        """Return how many updates have not been taken."""
        return int((self._rows[:, UPDATES] - self._rows[:, TAKEN]).sum())

    def take(self, is_complete: bool) -> Taken:
        """Take the sum, and the steps that belong to it or, with ``is_complete``, all that workers have counted."""
        # Counters first: a gradient that is counted is in the sum.
        rows = self._rows.copy()
        new = rows[:, UPDATES] > rows[:, TAKEN]
        self._rows[:, TAKEN] = rows[:, UPDATES]
        # A worker writes SUMMED before UPDATES: between the two, these steps belong to a gradient that is not counted.
        steps = rows[:, STEPS] if is_complete else np.where(new, rows[:, SUMMED], self._pushed)
        pushed, self._pushed = self._pushed, steps
        made = tuple(map(int, steps - pushed))
        if not new.any():
            return Taken(self.updates, None, 0, made)
        gradient = self._sum.clone()
        if gradient.isfinite().all():
            self._sum.sub_(gradient)
        else:
            self._sum.zero_()
        updates = int((rows[:, UPDATES] - rows[:, TAKEN]).sum())
        return Taken(int(rows[new, BASE].min()), gradient.numpy(), updates, made)

    def receive(self, answer: Answer) -> None:
        """Copy new weights into those of the node, and let workers go on whose updates were taken."""
        self._theta.numpy()[:] = answer.theta
        if answer.target is not None:
            self._target.numpy()[:] = answer.target
        self.targets = answer.targets
        self._known.numpy()[[OTHERS, VERSION]] = answer.T - int(self._pushed.sum()), answer.version
        self._rows[:, ANSWERED] = self._rows[:, TAKEN]
