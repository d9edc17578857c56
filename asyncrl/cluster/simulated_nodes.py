"""The nodes of a simulated run, with their parameter server and the network, in one process and virtual time.

Server, messages and node parameters are those of a real training. Agents and the network are replaced by their costs.
"""

from collections.abc import Iterator, Sequence
from copy import copy

from asyncrl.cluster.agent import PUSH_SECONDS
from asyncrl.cluster.messages import Push
from asyncrl.cluster.node_parameters import NodeParameters
from asyncrl.cluster.push_costs import PushCosts, Queue
from asyncrl.cluster.server import ParameterServer
from asyncrl.events import Event
from asyncrl.runtime.control import Control
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.runtime.simulated_nodes import Due

INCARNATION = 1  # no simulated node is lost


class Network:
    """The link of the server, one message at a time in each direction, and the server, one push at a time."""

    def __init__(self, costs: PushCosts) -> None:
        """Begin idle."""
        self._costs = costs
        self._to_server, self._server, self._from_server = Queue(), Queue(), Queue()

    def arrival(self, now: float, size: int) -> float:
        """Return when a push of so many bytes, which an agent begins to take now, is at the server."""
        costs = self._costs
        return self._to_server.end(now + costs.taking, size * costs.per_byte) + costs.delay

    def answered(self, now: float, size: int) -> float:
        """Return when a node has the answer, of so many bytes, to a push that is at the server now."""
        costs = self._costs
        served = self._server.end(now, costs.server)
        return self._from_server.end(served, size * costs.per_byte) + costs.delay + costs.receiving


class NetworkNodes:
    """Nodes with equal shares of the workers, in order, that push to one server."""

    def __init__(
        self,
        parameters: SharedParameters,
        control: Control,
        nodes: int,
        push_every: int,
        max_staleness: int,
        costs: PushCosts,
    ) -> None:
        """Join all nodes.

        Args:
            parameters: θ, θ⁻, g, T: those of the server.
            control: the server passes its orders on; here no node needs them.
            nodes: how many there are.
            push_every: updates of a node between two pushes; 1: each worker waits for the answer.
            max_staleness: in updates; staler gradients are dropped.
            costs: of a push.
        """
        self.due: list[Due] = []
        server = ParameterServer(parameters, control, nodes, max_staleness)
        self._server, self._costs, self._share = server, costs, parameters.workers // nodes
        self._nodes = [SimulatedNode(node, nodes, parameters.workers, push_every, server) for node in range(nodes)]

    def parameters(self, worker: int) -> NodeParameters:
        """See Nodes."""
        # NodeParameters holds the version of one worker's snapshot
        return copy(self._node(worker).parameters)

    def _node(self, worker: int) -> "SimulatedNode":
        return self._nodes[worker // self._share]

    def begin(self, times: Sequence[float]) -> None:
        """See Nodes; the network and the server are idle."""
        # the session may have gone back to a checkpoint at the barrier
        self._receive()
        network = Network(self._costs)
        for node in self._nodes:
            node.begin(min(times[i] for i in node.parameters.workers), network, self.due)

    def enter(self, worker: int, now: float) -> bool:
        """See Nodes."""
        return self._node(worker).enter(worker, now)

    def park(self, worker: int) -> None:
        """See Nodes."""
        self._node(worker).running -= 1

    def advance(self, node: int, now: float) -> None:
        """See Nodes."""
        self._nodes[node].advance(now)

    def end(self) -> None:
        """See Nodes; all nodes have the weights of the server then. It takes no virtual time."""
        for node in self._nodes:
            node.push_rest()
        self._receive()

    def _receive(self) -> None:
        """Give all nodes the weights of the server."""
        for node in self._nodes:
            node.parameters.receive(self._server.join(node.number, INCARNATION).answer)

    def take_events(self) -> list[Event]:
        """See Nodes."""
        return [self._server.take_counts()]


class SimulatedNode:
    """One node: its part of the parameters, and an agent that pushes as ``NodeAgent`` does."""

    def __init__(self, number: int, nodes: int, workers: int, push_every: int, server: ParameterServer) -> None:
        """Join the server; ``workers`` is how many all nodes have."""
        share, joined = workers // nodes, server.join(number, INCARNATION)
        self.number, self.running = number, 0  # workers that have not stopped at a barrier
        self.parameters = NodeParameters(joined, range(number * share, (number + 1) * share), workers, waits=False)
        self._server, self._push_every, self._seq = server, push_every, 0
        self._entry = workers + number  # in ``due``
        self._exchange: Iterator[float] | None = None  # a push that is not answered yet
        self._waiting: list[int] = []  # workers

    def begin(self, now: float, network: Network, due: list[Due]) -> None:
        """Begin at a virtual time, with all workers."""
        self._network, self._due, self.running = network, due, len(self.parameters.workers)
        self._schedule(now + PUSH_SECONDS)

    def _schedule(self, at: float) -> None:
        """Go on at a virtual time, and not at the one that was scheduled before."""
        self._at = at
        self._due.append((at, self._entry))

    def enter(self, worker: int, now: float) -> bool:
        """See Nodes; a worker that has ended an update calls this, too."""
        self._push_if_due(now)
        if self._push_every > 1 or self.parameters.is_answered(worker):
            return True
        self._waiting.append(worker)
        return False

    def _push_if_due(self, now: float) -> None:
        if self._exchange is None and self.parameters.pending >= self._push_every:
            self._push(now)

    def _push(self, now: float) -> None:
        self._exchange = self._phases(now)
        self._schedule(next(self._exchange))

    def _phases(self, now: float) -> Iterator[float]:
        """Push, and copy the answer; yield when the push is at the server, and when its answer is at the node."""
        push = self._take(is_complete=False)
        yield (arrival := self._network.arrival(now, 0 if push.gradient is None else push.gradient.nbytes))
        answer = self._server.push(push)
        size = answer.theta.nbytes + (0 if answer.target is None else answer.target.nbytes)
        yield self._network.answered(arrival, size)
        self.parameters.receive(answer)

    def _take(self, is_complete: bool) -> Push:
        self._seq += 1
        taken, targets = self.parameters.take(is_complete), self.parameters.targets
        return Push(self.number, INCARNATION, self._seq, **taken._asdict(), targets=targets)

    def advance(self, now: float) -> None:
        """Go on with a push, or begin one after PUSH_SECONDS without one."""
        if now != self._at:
            return
        if self._exchange is None:
            if self.running:
                self._push(now)
        elif (at := next(self._exchange, None)) is not None:
            self._schedule(at)
        else:
            self._end_push(now)

    def _end_push(self, now: float) -> None:
        """Let workers go on whose updates are answered."""
        self._exchange = None
        self._due += [(now, worker) for worker in self._waiting]
        self._waiting.clear()
        self._schedule(now + PUSH_SECONDS)
        self._push_if_due(now)

    def push_rest(self) -> None:
        """Push what is left, and all steps."""
        self.parameters.receive(self._server.push(self._take(is_complete=True)))
