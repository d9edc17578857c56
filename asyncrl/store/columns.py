"""The columns of each row file, with their types; a row that comes from a file is checked against them."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

from asyncrl.store.atomic import restored
from asyncrl.store.document import MAX_COUNT, MAX_LONG_TEXT, MAX_TEXT, shortened

MAX_COLUMNS = 1_000  # of one row


class Column(NamedTuple):
    """The type of one column, and whether a row needs it."""

    convert: Callable[[object], object]  # raises TypeError for a wrong value
    default: object = None  # for a missing or wrong value, if the row does not need one
    is_required: bool = True


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number of a valid size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_COUNT


def _count(value: object) -> int:
    if is_number(value) and value >= 0 and value == int(value):
        return int(value)
    raise TypeError(value)


def _worker(value: object) -> int:
    return -1 if value == -1 else _count(value)


def _seconds(value: object) -> float:
    if is_number(value) and value >= 0:
        return float(value)
    raise TypeError(value)


def as_float(value: object) -> float | None:
    """Return a number of any size as a float, also one written as ``"NaN"`` or ``"-Infinity"``; None for another."""
    value = restored(value)
    if isinstance(value, float):
        return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023 else None


def _number(value: object) -> float | None:
    """Return a statistic, which may have any value; None for null."""
    number = as_float(value)
    if number is None and value is not None:
        raise TypeError(value)
    return int(number) if isinstance(value, int) and number is not None else number


def _score(value: object) -> float:
    """Return a score; the first release wrote null for one that was not finite."""
    number = _number(value)
    return math.nan if number is None else number


def _name(value: object) -> str:
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return value
    raise TypeError(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return shortened(value, MAX_LONG_TEXT)
    raise TypeError(value)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(value)


def _numbers(value: object) -> list[float | None]:
    if isinstance(value, list):
        return [_number(each) for each in value]
    raise TypeError(value)


def _optional(convert: Callable[[object], object], default: object = None) -> Column:
    return Column(convert, default, is_required=False)


PROGRESS = {
    "frames": Column(_count),
    "steps": Column(_count),
    "updates": _optional(_count),
    "seconds": _optional(_seconds),
}
COLUMNS: dict[str, dict[str, Column]] = {
    "episodes": PROGRESS
    | {
        "worker": Column(_count),
        "score": Column(_score),
        "length": Column(_count),
        "epsilon": _optional(_number),
        "completed": _optional(_flag),
    },
    "metrics": PROGRESS | {"frames_per_second": _optional(_number)},
    "evaluations": PROGRESS
    | {
        "kind": Column(_name),
        "protocol": Column(_name),
        "mean": Column(_score),
        **{name: _optional(_number) for name in ("median", "std", "seed")},
        "episodes": _optional(_count),
        "scores": _optional(_numbers),
        "lengths": _optional(_numbers),
    },
    "failures": {
        # An incident counts whatever is known of its time.
        **{name: _optional(_count, 0) for name in ("frames", "steps", "updates")},
        "seconds": _optional(_seconds, 0.0),
        "reason": Column(_text),
        "source": _optional(_name, ""),
        "worker": _optional(_worker, -1),
        "traceback": _optional(_text, ""),
        "seeds": _optional(_numbers),
        "played": _optional(_count),
        "is_final": _optional(_flag, False),
        "is_replaced": _optional(_flag, False),
    },
}
OTHER = _optional(_number)  # a learner's statistic, the time of a phase, or a column of a newer version


def valid_row(name: str, row: object) -> dict[str, Any] | None:
    """Return a row of ``<name>.jsonl`` with every column of its type; None if the row is damaged.

    Optional columns that are missing or wrong have their defaults; an unknown column is a number or None.
    """
    columns = COLUMNS[name]
    if not isinstance(row, Mapping) or len(row) > MAX_COLUMNS:
        return None
    try:
        valid = {key: _converted(column, key, row) for key, column in columns.items()}
    except (TypeError, KeyError):
        return None
    unknown = (key for key in row if key not in columns and len(key) <= MAX_TEXT)
    return valid | {key: _converted(OTHER, key, row) for key in unknown}


def _converted(column: Column, key: str, row: Mapping[str, Any]) -> object:
    """Return a converted value; raise TypeError or KeyError where a required one is wrong or missing."""
    if column.is_required:
        return column.convert(row[key])
    try:
        return column.convert(row.get(key))
    except TypeError:
        return column.default
