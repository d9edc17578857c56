"""What nodes and the parameter server send each other: three calls, whatever carries them."""

from typing import NamedTuple, Protocol

from asyncrl.events import Event, WorkerState
from asyncrl.runtime.protocols import Vector


class Push(NamedTuple):
    """What a node has done since its last push."""

    node: int
    incarnation: int  # grows with each start of the node
    seq: int  # of the node's pushes in this incarnation, from 1
    base_version: int  # the oldest version of θ that a gradient of the sum was computed with
    gradient: Vector | None  # ``[P]``, the sum of clipped gradients; None: there is none
    updates: int  # gradients in the sum
    steps: tuple[int, ...]  # of each of the node's workers
    targets: int = 0  # the number of the θ⁻ that the node has; 0: none
    events: tuple[Event, ...] = ()
    states: tuple[WorkerState, ...] = ()  # of workers that have parked or ended
    parked_in: int = 0  # the number of the pause in which all workers of the node are parked; 0: they are not


class Orders(NamedTuple):
    """What the server asks of all nodes."""

    pause: int  # its number, as ``Control.pause``
    pause_at: int  # the T from which on workers park, in steps
    is_stopping: bool


class Taken(NamedTuple):
    """What became of the last push of a node that was taken."""

    start: int = 0  # T before it
    is_applied: bool = False  # whether it had a gradient, and that was applied


class Answer(NamedTuple):
    """What a node needs after a push."""

    is_current: bool  # False: the server does not know this incarnation, and the node must end
    seq: int  # of the node's last push that was taken
    version: int  # updates of θ
    T: int
    theta: Vector  # ``[P]``
    target: Vector | None  # ``[P]`` θ⁻; None: the node has it
    targets: int  # the number of this θ⁻
    orders: Orders
    taken: Taken = Taken()


class Joined(NamedTuple):
    """What a node needs to begin."""

    answer: Answer
    steps: tuple[int, ...]  # that each of its workers has counted
    states: tuple[WorkerState, ...]  # of those of its workers that continue


class Server(Protocol):
    """The parameter server, as a node sees it. A call may be repeated after it has failed."""

    def join(self, node: int, incarnation: int) -> Joined:
        """Register a node, in place of its older incarnations."""

    def push(self, push: Push) -> Answer:
        """Apply what a node has done, once."""

    def leave(self, node: int, incarnation: int) -> None:
        """Remove a node whose workers have ended."""
