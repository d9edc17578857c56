"""θ over several servers: all vectors are cut evenly, and each shard applies its part of every push.

The first part is that of the ParameterServer, which alone has T, the schedules and the workers' events. It decides what
is applied, and at which T; the other shards follow.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from asyncrl.cluster.messages import Answer, Joined, Push, Server
from asyncrl.cluster.repeating import repeat
from asyncrl.optim import LearningRate, Optimizer, clip_
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.protocols import Vector

LINE = 16  # numbers; kernels compute so many at once, so that a cut elsewhere could change a rounding
PATIENCE = 60.0  # seconds for which a session waits for a lost shard that is started again

Tensors = dict[str, Tensor]


class Part(NamedTuple):
    """A shard's part of a push that the first server has taken."""

    node: int
    incarnation: int
    seq: int
    gradient: Vector | None  # ``[n]``; None: nothing is applied
    worker: int  # whose optimiser state it is, where each worker has its own
    start: int  # T before the push
    T: int  # of the first server, as the node knows it
    needs_target: bool


class PartAnswer(NamedTuple):
    """A shard's part of an answer."""

    theta: Vector  # ``[n]``
    target: Vector | None  # ``[n]`` θ⁻; None: the node has it


class ShardSpec(NamedTuple):
    """What a shard is made of, besides its vectors."""

    workers: int
    optimizer: Optimizer
    learning_rate: LearningRate
    target_period: int | None
    averaging: int


class EmptyShardError(Exception):
    """A shard has no vectors: it was started again, and has not got those of the last pause yet."""


class Shard:
    """One part of θ, θ⁻, g and the average. It has no vectors before ``write``."""

    def __init__(self, spec: ShardSpec) -> None:
        """Prepare."""
        self._spec = spec
        self._parameters: SharedParameters | None = None
        self._last: dict[int, tuple[int, int]] = {}  # incarnation and number of each node's last part

    def write(self, tensors: Tensors) -> None:
        """Take vectors and counters, as ``SharedParameters.tensors`` of a part returns them."""
        parameters = SharedParameters.allocate(tensors["theta"], *self._spec)
        parameters.restore(tensors)
        self._parameters = parameters

    def read(self) -> Tensors:
        """Return copies of the vectors and counters."""
        return self._present.tensors()

    @property
    def _present(self) -> SharedParameters:
        if self._parameters is None:
            raise EmptyShardError
        return self._parameters

    def is_empty(self) -> bool:
        """Return whether there are no vectors."""
        return self._parameters is None

    def join(self, T: int) -> PartAnswer:
        """Return θ and θ⁻ at a T of the first server."""
        self._reach(T)
        return self._answer(needs_target=True)

    def push(self, part: Part) -> PartAnswer:
        """Apply a gradient, as ``ParameterServer`` does, unless it is repeated or of an old incarnation."""
        parameters, number = self._present, (part.incarnation, part.seq)
        if number > self._last.get(part.node, (0, 0)):
            if part.gradient is not None:
                # a copy: what Ray has received may not be written
                parameters.apply(part.worker, torch.tensor(part.gradient), part.start)
            self._last[part.node] = number
        self._reach(part.T)
        return self._answer(part.needs_target)

    def _reach(self, T: int) -> None:
        """Count steps up to a T of the first server, and copy θ to θ⁻ if it has done so on the way.

        The part of the node whose steps have led there may come later than those of other nodes.
        """
        parameters = self._present
        parameters.sync_target(*parameters.advance(0, max(0, T - parameters.T)))

    def _answer(self, needs_target: bool) -> PartAnswer:
        target = self._present.vectors["target"].copy() if needs_target else None
        return PartAnswer(self._present.theta.copy(), target)


class Shards(Protocol):
    """The shards of all parts but the first, in order; a call raises ConnectionError where one is lost or empty."""

    def join(self, T: int) -> list[PartAnswer]:
        """See Shard."""

    def push(self, parts: Sequence[Part]) -> list[PartAnswer]:
        """See Shard."""

    def read(self) -> list[Tensors]:
        """See Shard."""

    def write(self, tensors: Mapping[int, Tensors]) -> None:
        """See Shard; by the number of the shard."""

    def empty(self) -> list[int]:
        """Return which shards were found to be empty since the last call, without waiting."""


class WholeParameters:
    """The run's own SharedParameters, whose first part is in use here, and the others in shards.

    A session reads and writes the whole while all workers are parked. At other times the other parts are those of the
    last pause, from which a lost shard goes on.
    """

    def __init__(self, parameters: SharedParameters, shards: Shards | None, count: int) -> None:
        """Cut the parameters of a run into ``count`` parts; without shards there is one."""
        self._shards = shards
        first, *others = cuts(len(parameters.theta), count)
        self.first, self._others = parameters.part(first), [parameters.part(cut) for cut in others]
        self._mended: list[int] = []

    def read(self) -> None:
        """Copy the parts of all shards to the whole; raise ConnectionError where a lost one does not come back."""
        for part, tensors in zip(self._others, repeat(self._read, PATIENCE), strict=True):
            part.restore_vectors(tensors)

    def _read(self) -> list[Tensors]:
        self._mend()
        return self._shards.read() if self._shards is not None else []

    def write(self) -> None:
        """Copy the whole to all shards; raise ConnectionError where a lost one does not come back."""
        if self._shards is not None:
            tensors = {i: part.tensors() for i, part in enumerate(self._others)}
            repeat(partial(self._shards.write, tensors), PATIENCE)

    def mend(self) -> list[int]:
        """Give shards that were lost the vectors of the last pause; return which have got them since the last call."""
        self._mend()
        mended, self._mended = self._mended, []
        return mended

    def _mend(self) -> None:
        if self._shards is None:
            return
        for i in self._shards.empty():
            # a shard that is lost again is found to be empty again
            with suppress(ConnectionError):
                self._shards.write({i: self._others[i].tensors()})
                self._mended.append(i)


class ShardedServer:
    """The Server of a node whose run has shards: it cuts pushes, and puts answers together."""

    def __init__(self, first: Server, shards: Shards, share: int) -> None:
        """Use the server of the first part, and the shards of the others; each node has ``share`` workers."""
        self._first, self._shards, self._share = first, shards, share
        self._ends: list[int] = []  # of the parts, but the last

    def join(self, node: int, incarnation: int) -> Joined:
        """See Server."""
        joined = self._first.join(node, incarnation)
        parts = self._shards.join(joined.answer.T)
        lengths = [len(joined.answer.theta), *(len(part.theta) for part in parts)]
        self._ends = list(map(int, np.cumsum(lengths)[:-1]))
        return joined._replace(answer=_together(joined.answer, parts))

    def push(self, push: Push) -> Answer:
        """See Server."""
        gradients: list[Vector | None] = [None] * (len(self._ends) + 1)
        if push.gradient is not None:
            gradients = list(np.split(push.gradient, self._ends))
            # the first server sees its part only, and decides for all
            if not math.isfinite(clip_(torch.from_numpy(push.gradient), None)):
                gradients[0] = np.full(self._ends[0], np.nan, np.float32)
        answer = self._first.push(push._replace(gradient=gradients[0]))
        if not answer.is_current:
            return answer
        taken = answer.taken
        parts = [
            Part(
                push.node,
                push.incarnation,
                push.seq,
                gradient if taken.is_applied else None,
                push.node * self._share,
                taken.start,
                answer.T,
                answer.target is not None,
            )
            for gradient in gradients[1:]
        ]
        return _together(answer, self._shards.push(parts))

    def leave(self, node: int, incarnation: int) -> None:
        """See Server."""
        self._first.leave(node, incarnation)


def _together(answer: Answer, parts: Sequence[PartAnswer]) -> Answer:
    theta = np.concatenate([answer.theta, *(part.theta for part in parts)])
    if answer.target is None:
        return answer._replace(theta=theta)
    targets = [part.target for part in parts if part.target is not None]
    return answer._replace(theta=theta, target=np.concatenate([answer.target, *targets]))


def cuts(size: int, count: int) -> list[slice]:
    """Return even parts of ``[size]`` vectors, which begin at multiples of LINE."""
    lines = -(-size // LINE)
    # rounded up: the first part, whose server decides for all, is never empty
    ends = [min(size, LINE * -(-lines * i // count)) for i in range(1, count)] + [size]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
