"""Environments for the tests of faults: ``tests.faults.toys:Talkative``."""

import os
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


class Deadly(Corridor):
    """Ends its process in its hundredth step."""

    steps = 0

    def act(self, action: int) -> tuple[float, bool]:
        """Go, or end the process."""
        self.steps += 1
        if self.steps == 100:
            os._exit(3)
        return super().act(action)
