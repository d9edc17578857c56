"""Parses JSON that may be damaged, into values that every reader and writer can use."""

import json
from typing import Any

MAX_DEPTH = 32  # of nested lists and tables; readers walk through them by recursion
DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and ±∞, which this package writes as null


def parse(data: bytes) -> Any:
    """Return the value of a JSON text; raise ValueError if it is no JSON in UTF-8, or nested too deeply."""
    try:
        value = DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deep(value):
        raise ValueError("it is nested too deeply")
    # Half of a surrogate pair cannot be printed or stored.
    if b"\\ud" in data or b"\\uD" in data:
        value = _escaped(value)
    return value


def _escaped(value: Any) -> Any:
    """Replace halves of surrogate pairs by their escapes."""
    if isinstance(value, dict):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [value for values in inner for value in values]
    return any(isinstance(each, dict | list) for each in level)
