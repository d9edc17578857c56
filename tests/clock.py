"""A clock that a test moves, to stand in for a module's ``time``."""


class Time:
    """Seconds, the same by every name."""

    now = 1_000.0

    def monotonic(self):
        """Return the seconds."""
        return self.now

    perf_counter = monotonic
