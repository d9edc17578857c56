"""How long a push takes in simulated time and in the model of ``benchmarks.nodes``."""

from typing import NamedTuple

from asyncrl.costs import Costs
from asyncrl.runtime.simulation import MICROSECOND

BITS, GIGA = 8, 1e9


class PushCosts(NamedTuple):
    """The parts of a push, in seconds; the costs of the rollouts in it are not among them."""

    delay: float  # for which each message is under way, besides its time on the link
    per_byte: float  # that a message occupies the server's link, in its direction
    server: float  # for a push
    taking: float  # of the node agent before a push
    receiving: float  # of the node agent after its answer


def push_costs(costs: Costs, delay: float, gigabits: float) -> PushCosts:
    """Return the costs of a push.

    Args:
        costs: of the phases of workers: a copy of θ takes as long as ``pull``.
        delay: seconds.
        gigabits: that the server's link carries per second, each way.
    """
    copy = costs.pull.of(1) * MICROSECOND
    return PushCosts(
        delay=delay,
        per_byte=BITS / (GIGA * gigabits),
        server=costs.apply.of(1) * MICROSECOND + 2 * copy,  # of the gradient, and of θ for the answer
        taking=2 * copy,  # of the sum, which is subtracted then
        receiving=copy,
    )


class Queue:
    """What serves one after another: a direction of the link, or the server."""

    def __init__(self) -> None:
        """Begin idle."""
        self._free_at = 0.0

    def end(self, arrival: float, seconds: float) -> float:
        """Return when the next that arrives is served; arrivals are in order."""
        self._free_at = max(arrival, self._free_at) + seconds
        return self._free_at
