"""Shards in this process, which can be lost."""

import threading

from asyncrl.cluster.shards import EmptyShardError, Shard, ShardSpec
from asyncrl.runtime.job import Job


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

    def join(self):
        return [self._call(shard.join) for shard in self.shards]

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
