"""The messages of all workers of a simulated run to the parent."""

from multiprocessing.connection import Connection
from typing import Any

from asyncrl.events import EpisodeEnd, Event, Interval, Message
from asyncrl.runtime.reporter import MOST_EPISODES


class Outbox:
    """Collects messages of all workers, in order, and stamps them with virtual seconds."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        """Send through a pipe."""
        self.clock = 0.0  # virtual seconds: the end of the last update
        self._pipe = pipe
        self._events: list[Event] = []

    def send(self, obj: Message) -> None:
        """Take in a message."""
        for event in obj if isinstance(obj, list) else [obj]:
            self._events.append(event)
            if isinstance(event, EpisodeEnd | Interval):
                self._events[-1] = event._replace(clock=self.clock)
        if len(self._events) >= MOST_EPISODES:
            self.flush()

    def flush(self, *last: Event) -> None:
        """Send all messages, and some more after them, as one."""
        if self._events or last:
            self._pipe.send([*self._events, *last])
            self._events = []
