"""Node agents in threads of this process, with worker processes: a cluster without a network."""

import queue
import threading

from asyncrl.cluster.agent import NodeAgent
from asyncrl.cluster.pool import ClusterPool, NodeEnd
from asyncrl.cluster.shards import ShardedServer
from tests.cluster.local_shards import LocalShards


class ThreadNodes:
    """A NodeLauncher; a node whose number is put into ``lost`` ends at its next push.

    Each number in ``cut`` is a node that cannot reach the server: for so many calls, or until it is started again.
    """

    def __init__(self, job, nodes, push_every, patience=60.0, shards=None):
        self.job, self.nodes, self.push_every, self.patience = job, nodes, push_every, patience
        self.lost, self.cut, self.shards = set(), {}, shards
        self._ends, self._threads, self._is_closed = queue.Queue(), [], False

    def start(self, node, incarnation, server):
        self.cut.pop(node, None)
        thread = threading.Thread(
            target=self._run, args=(node, incarnation, Losing(self, self._whole(server))), daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _whole(self, server):
        return server if self.shards is None else ShardedServer(server, self.shards, self.job.workers // self.nodes)

    def _run(self, node, incarnation, server):
        reason = None
        try:
            with NodeAgent(self.job, node, self.nodes, incarnation, server, self.push_every, self.patience) as agent:
                agent.run()
        except (RuntimeError, ConnectionError) as error:
            reason = str(error)
        self._ends.put(NodeEnd(node, reason))

    def serve(self, seconds):
        try:
            return [self._ends.get(timeout=seconds)]
        except queue.Empty:
            return []

    def close(self):
        self._is_closed = True
        for thread in self._threads:
            thread.join(30)

    def check(self, node):
        """Raise an error that ends a node."""
        if self._is_closed or node in self.lost:
            self.lost.discard(node)
            raise RuntimeError("it was unplugged")
        if self.cut.get(node, 0) > 0:
            self.cut[node] -= 1
            raise ConnectionError("the server cannot be reached")


class Losing:
    """A server that loses pushes, or the nodes that make them."""

    def __init__(self, launcher, server):
        self._launcher, self._server = launcher, server
        self.join, self.leave = server.join, server.leave

    def push(self, push):
        self._launcher.check(push.node)
        answer = self._server.push(push)
        # the answer may be lost, too
        self._launcher.check(push.node)
        return answer


class Pools:
    """Makes the pools of runs on nodes in threads."""

    def __init__(self, patience=60.0):
        self.launcher, self.shards, self._patience = None, None, patience

    def __call__(self, config, job, parameters, control, states):
        settings = config.cluster
        if settings.shards > 1:
            self.shards = LocalShards(job, settings.shards)
        self.launcher = ThreadNodes(job, settings.nodes, settings.push_every, self._patience, self.shards)
        size = settings.nodes, settings.max_staleness
        return ClusterPool(job, parameters, control, states, *size, self.launcher, self.shards, settings.shards)
