"""Shards in this process, which can be lost."""

import threading

import numpy as np

from asyncrl.cluster.messages import Push
from asyncrl.cluster.server import ParameterServer
from asyncrl.cluster.shards import EmptyShardError, Shard, ShardedServer, ShardSpec, WholeParameters
from asyncrl.runtime.control import Control
from asyncrl.runtime.job import Job
from tests.cluster.setups import NO_PAUSE, parameters_of


def spec_of(job: Job) -> ShardSpec:
    """Return what the shards of a run are made of."""
    return ShardSpec(job.workers, job.optimizer, job.learning_rate, job.target_period, job.averaging)


class LocalShards:
    """The Shards of a run, without a cluster."""

    def __init__(self, job, count):
        self.spec = spec_of(job)
        self.shards = [Shard(self.spec) for _ in range(count - 1)]
        self._lock = threading.Lock()

    def lose(self, i):
        """Have a shard started again, without vectors."""
        self.shards[i] = Shard(self.spec)

    def join(self, T):
        return [self._call(shard.join, T) for shard in self.shards]

    def push(self, parts):
        return [self._call(shard.push, part) for shard, part in zip(self.shards, parts, strict=True)]

    def read(self):
        return [self._call(shard.read) for shard in self.shards]

    def write(self, tensors):
        for i, each in tensors.items():
            self.shards[i].write(each)

    def empty(self):
        return [i for i, shard in enumerate(self.shards) if shard.is_empty()]

    def _call(self, call, *arguments):
        try:
            with self._lock:
                return call(*arguments)
        except EmptyShardError:
            raise ConnectionError("a shard is empty") from None


def sharded(job, count, max_staleness=100, nodes=1):
    """Return the server of a node whose run is in shards; ``all`` is the run's own parameters."""
    parameters, shards = parameters_of(job), LocalShards(job, count)
    whole = WholeParameters(parameters, shards, count)
    whole.write()
    first = ParameterServer(whole.first, Control.allocate(job.workers), nodes, max_staleness)
    first.control.release(NO_PAUSE)
    server = ShardedServer(first, shards, job.workers // nodes)
    server.first, server.whole, server.all, server.shards = first, whole, parameters, shards
    return server


def pushed(server, seq, gradient, **changes):
    """Push 5 steps of node 0, and return the answer."""
    default = Push(
        node=0, incarnation=1, seq=seq, base_version=seq - 1, gradient=gradient, updates=1, steps=(5,), targets=1
    )
    return server.push(default._replace(**changes))


def gradient_of(server, seed=0):
    """Return a gradient of all parts."""
    return np.random.default_rng(seed).normal(size=len(server.all.theta)).astype(np.float32)


def vectors(server):
    """Return the vectors of all parts."""
    server.whole.read()
    return server.all.tensors()
