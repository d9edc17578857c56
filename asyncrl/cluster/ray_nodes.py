"""Node agents as Ray actors. The server is in the driver: it asks each actor for its next call, and answers it."""

import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeAlias

from asyncrl.cluster.agent import NodeAgent, SupersededError
from asyncrl.cluster.connection import connected
from asyncrl.cluster.messages import Answer, Joined, Push, Server
from asyncrl.cluster.pool import ClusterPool, NodeEnd
from asyncrl.cluster.ray_shards import RayShards
from asyncrl.cluster.shards import ShardedServer
from asyncrl.config import RunConfig
from asyncrl.events import WorkerState
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from asyncrl.runtime.parameters import SharedParameters
from asyncrl.text import error_text, one_line

STOP_SECONDS = 15.0  # for the workers of a node, at the end


class Call(NamedTuple):
    """A call of a node to the server."""

    name: str  # of a method of Server, or END
    arguments: tuple[Any, ...]


END = "end"  # the last message of a node, with the reason of its failure, or None
Reply: TypeAlias = Answer | Joined | None


class Mailbox:
    """The Server of a node agent in an actor: each call waits until the driver has fetched and answered it."""

    def __init__(self) -> None:
        """Begin without a call."""
        self._calls: queue.Queue[Call] = queue.Queue()
        self._replies: queue.Queue[Reply] = queue.Queue()

    def join(self, node: int, incarnation: int) -> Joined:
        """See Server."""
        reply = self._ask(Call("join", (node, incarnation)))
        assert isinstance(reply, Joined)
        return reply

    def push(self, push: Push) -> Answer:
        """See Server."""
        reply = self._ask(Call("push", (push,)))
        assert isinstance(reply, Answer)
        return reply

    def leave(self, node: int, incarnation: int) -> None:
        """See Server."""
        self._ask(Call("leave", (node, incarnation)))

    def _ask(self, call: Call) -> Reply:
        self._calls.put(call)
        return self._replies.get()

    def end(self, reason: str | None) -> None:
        """Send the last message."""
        self._calls.put(Call(END, (reason,)))

    def exchange(self, reply: Reply, is_first: bool) -> Call:
        """Pass the answer of the last call on, and return the next call."""
        if not is_first:
            self._replies.put(reply)
        return self._calls.get()


class NodeActor:
    """The actor of a node; ``run`` and ``exchange`` run at the same time."""

    def __init__(
        self, job: Job, node: int, nodes: int, incarnation: int, push_every: int, shards: RayShards | None
    ) -> None:
        """Prepare; see NodeAgent."""
        self._arguments = job, node, nodes, incarnation
        self._push_every = push_every
        self._mailbox = Mailbox()
        self._server: Server = self._mailbox
        if shards is not None:
            self._server = ShardedServer(self._mailbox, shards, job.workers // nodes)

    def run(self) -> None:
        """Train to the end."""
        reason = None
        try:
            with NodeAgent(*self._arguments, server=self._server, push_every=self._push_every) as agent:
                agent.run()
        except SupersededError as error:
            reason = str(error)
        except BaseException as error:
            traceback.print_exc()
            reason = one_line(error_text(error))
        self._mailbox.end(reason)

    def exchange(self, reply: Reply, is_first: bool) -> Call:
        """See Mailbox."""
        return self._mailbox.exchange(reply, is_first)


class _Node(NamedTuple):
    number: int
    actor: Any
    server: Server


class RayNodes:
    """A NodeLauncher: one actor for each node, on a machine of its own where there are enough."""

    def __init__(self, ray: Any, job: Job, nodes: int, push_every: int, shards: RayShards | None = None) -> None:
        """Prepare.

        Args:
            ray: the module, connected.
            job: the run's parts.
            nodes: how many there are.
            push_every: see NodeAgent.
            shards: those of the run's parameters.
        """
        self._shards = shards
        self._ray, self._job, self._count, self._push_every = ray, job, nodes, push_every
        self._waiting: dict[Any, _Node] = {}  # by the reference to the node's next call
        self._actors: dict[int, Any] = {}

    def start(self, node: int, incarnation: int, server: Server) -> None:
        """Start a node's actor, with a core for each worker and one for the agent where a machine has so many."""
        if node in self._actors:
            self._kill(self._actors[node])
        sizes = [each["Resources"].get("CPU", 0) for each in self._ray.nodes() if each["Alive"]]
        cores = min(self._job.workers // self._count + 1, max(sizes, default=1))
        actor_class = self._ray.remote(NodeActor)
        # SPREAD: machines without an agent first
        options = {"num_cpus": max(1, int(cores)), "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
        arguments = self._job, node, self._count, incarnation, self._push_every, self._shards
        actor = self._actors[node] = actor_class.options(**options).remote(*arguments)
        actor.run.remote()
        self._waiting[actor.exchange.remote(None, True)] = _Node(node, actor, server)

    def serve(self, seconds: float) -> list[NodeEnd]:
        """Answer the calls that have come, after waiting at most so long for the first."""
        if not self._waiting:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        ends = []
        for reference in ready:
            node = self._waiting.pop(reference)
            try:
                call = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                ends.append(NodeEnd(node.number, one_line(error_text(error))[:300]))
                continue
            if call.name == END:
                ends.append(NodeEnd(node.number, *call.arguments))
                continue
            method: Callable[..., Reply] = getattr(node.server, call.name)
            try:
                reply = method(*call.arguments)
            # of one node, such as a push of another network: the others go on
            except Exception as error:
                self._kill(node.actor)
                ends.append(NodeEnd(node.number, f"its {call.name} failed: {error_text(error)}"))
                continue
            self._waiting[node.actor.exchange.remote(reply, False)] = node
        return ends

    def _kill(self, actor: Any) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)

    def close(self) -> None:
        """Kill all actors; their workers end with them."""
        for actor in (*self._actors.values(), *(self._shards.actors if self._shards is not None else ())):
            self._kill(actor)
        self._actors.clear()
        self._waiting.clear()


PoolMaker = Callable[[RunConfig, Job, SharedParameters, Control, Mapping[int, WorkerState] | None], ClusterPool]


@contextmanager
def pools(on: str | None) -> Iterator[PoolMaker | None]:
    """Connect to a cluster, and yield a function that makes the pool of a run on its nodes.

    Args:
        on: see ``connection.connected``; None: this machine, for which None is yielded.
    """
    if on is None:
        yield None
        return
    with connected(on) as ray:
        yield _pool_maker(ray)


def _pool_maker(ray: Any) -> PoolMaker:

    def make(
        config: RunConfig,
        job: Job,
        parameters: SharedParameters,
        control: Control,
        states: Mapping[int, WorkerState] | None,
    ) -> ClusterPool:
        settings = config.cluster
        shards = RayShards.start(ray, job, settings.shards) if settings.shards > 1 else None
        nodes = RayNodes(ray, job, settings.nodes, settings.push_every, shards)
        size = settings.nodes, settings.max_staleness
        return ClusterPool(job, parameters, control, states, *size, nodes, shards, settings.shards)

    return make
