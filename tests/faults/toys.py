"""Environments for the tests of faults: ``tests.faults.toys:Talkative``."""

import sys
from typing import Any

from tests.toys import Corridor


class Talkative(Corridor):
    """Prints at every step, as an environment under development does."""

    def act(self, action: Any) -> tuple[float, bool]:
        """Print to both streams, and act."""
        print("a step", flush=True)
        print("a step", file=sys.stderr, flush=True)
        return super().act(action)
