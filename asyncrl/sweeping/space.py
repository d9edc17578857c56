"""Ranges of settings, and the points that are drawn from them: each a pure function of (seed of the sweep, number)."""

import sys
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from asyncrl.errors import InputError

DIGITS = 4  # significant, of a drawn value: names of cells stay readable


class Range(NamedTuple):
    """An interval from which values are drawn, uniformly, or uniformly in the logarithm."""

    low: int | float  # both ends integers: integers are drawn
    high: int | float
    log: bool = False

    @classmethod
    def parse(cls, name: str, table: Mapping[str, Any]) -> "Range":
        """Return the range of a table ``{low, high, log}``; raise InputError that names the setting."""
        example = "{low = 1e-4, high = 1e-2, log = true}"
        if unknown := set(table) - set(cls._fields):
            raise InputError(f"The range of {name} has no {sorted(unknown)[0]!r}; write {example}.")
        low, high, log = table.get("low"), table.get("high"), table.get("log", False)
        if not (_is_finite(low) and _is_finite(high) and isinstance(log, bool)):
            raise InputError(f"The range of {name} needs numbers low and high, and log true or false; write {example}.")
        if low >= high:
            raise InputError(f"The range of {name} needs low < high; got {low} and {high}.")
        if log and low <= 0:
            raise InputError(f"The range of {name} is logarithmic, so low must be larger than 0; got {low}.")
        return cls(low, high, log)

    @property
    def is_integer(self) -> bool:
        """Return whether only integers are drawn: both ends are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, u: float) -> float:
        """Return the value at the fraction ``u`` of the range."""
        if self.is_integer:  # each integer has an interval of its own
            low, high = self.low - 0.5, self.high + 0.5
            value = low * (high / low) ** u if self.log else low + u * (high - low)
            return min(max(round(value), int(self.low)), int(self.high))
        value = self.low * (self.high / self.low) ** u if self.log else self.low + u * (self.high - self.low)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


def _is_finite(value: object) -> TypeGuard[float]:
    # an integer may be larger than every float
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def random_point(ranges: Mapping[str, Range], seed: int, index: int) -> dict[str, float]:
    """Return point ``index`` (from 1) of a random sweep; another range in the file does not change a range's values."""

    def uniform(name: str) -> float:
        key = (index, zlib.crc32(name.encode()))
        return float(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)).random())

    return {name: interval.at(uniform(name)) for name, interval in ranges.items()}
