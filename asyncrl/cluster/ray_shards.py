"""Shards as actors of Ray."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from asyncrl.cluster.shards import Part, PartAnswer, Shard, ShardSpec, Tensors
from asyncrl.runtime.job import Job
from asyncrl.text import error_text

LOOK_SECONDS = 0.5  # between two questions whether a shard is empty


class RayShards:
    """Shards of one run; it can be sent to other actors. Ray starts an actor that is lost again, without vectors."""

    def __init__(self, actors: Sequence[Any]) -> None:
        """Use actors of Shard."""
        self.actors = tuple(actors)
        self._questions: dict[int, Any] = {}
        self._asked_at = 0.0

    @classmethod
    def start(cls, ray: Any, job: Job, count: int) -> Self:
        """Start the actors of all of ``count`` parts but the first, on machines without one first."""
        spec = ShardSpec(job.workers, job.optimizer, job.learning_rate, job.target_period, job.averaging)
        options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": "SPREAD"}
        actor_class = ray.remote(Shard).options(**options)
        return cls([actor_class.remote(spec) for _ in range(count - 1)])

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Leave out the questions."""
        return type(self), (self.actors,)

    def join(self, T: int) -> list[PartAnswer]:
        """See Shards."""
        return self._get([actor.join.remote(T) for actor in self.actors])

    def push(self, parts: Sequence[Part]) -> list[PartAnswer]:
        """See Shards."""
        return self._get([actor.push.remote(part) for actor, part in zip(self.actors, parts, strict=True)])

    def read(self) -> list[Tensors]:
        """See Shards."""
        return self._get([actor.read.remote() for actor in self.actors])

    def write(self, tensors: Mapping[int, Tensors]) -> None:
        """See Shards."""
        self._get([self.actors[i].write.remote(each) for i, each in tensors.items()])
        for i in tensors:
            self._questions.pop(i, None)  # it may have been answered before

    def _get(self, references: list[Any]) -> list[Any]:
        import ray

        try:
            return list(ray.get(references))
        except ray.exceptions.RayError as error:
            raise ConnectionError(f"a shard does not answer: {error_text(error)}") from None

    def empty(self) -> list[int]:
        """See Shards."""
        import ray

        if time.monotonic() < self._asked_at + LOOK_SECONDS:
            return []
        self._asked_at = time.monotonic()
        found = []
        for i, actor in enumerate(self.actors):
            if i in self._questions and ray.wait([self._questions[i]], timeout=0)[0]:
                # the actor may have been lost meanwhile
                with suppress(ray.exceptions.RayError):
                    if ray.get(self._questions.pop(i)):
                        found.append(i)
            if i not in self._questions:
                self._questions[i] = actor.is_empty.remote()
        return found
