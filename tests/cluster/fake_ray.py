"""A module ``ray`` with actors in this process: some nodes raise errors instead of answers."""

from types import SimpleNamespace


class FakeRay:
    """A cluster with a node for each name; ``errors`` has those that raise, with what."""

    class exceptions:
        class RayError(Exception): ...

        class GetTimeoutError(RayError, TimeoutError): ...

        class RayActorError(RayError): ...

        class RayTaskError(RayError): ...

    def __init__(self, errors):
        self.errors = errors
        self.running, self.ended = [], []
        self.util = SimpleNamespace(
            scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        )

    def is_initialized(self):
        return True

    def nodes(self):
        return [
            {"NodeID": name, "NodeManagerHostname": name, "Alive": True, "Resources": {"CPU": 1.0}}
            for name in self.errors
        ]

    def remote(self, kind):
        return SimpleNamespace(
            options=lambda num_cpus, scheduling_strategy: SimpleNamespace(
                remote=lambda: self._start(kind(), scheduling_strategy)
            )
        )

    def _start(self, actor, node):
        self.running.append(node)
        return Actor(actor, node)

    def get(self, reference, timeout):
        actor, name, arguments = reference
        if self.errors[actor.node] is not None:
            raise self.errors[actor.node]
        return getattr(actor.actor, name)(*arguments)

    def kill(self, actor):
        self.ended.append(actor.node)
        if isinstance(self.errors[actor.node], self.exceptions.RayActorError):
            raise self.errors[actor.node]


class Actor:
    """A handle of an actor; a reference to an answer is a call that was not made yet."""

    def __init__(self, actor, node):
        self.actor, self.node = actor, node

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *arguments: (self, name, arguments))
