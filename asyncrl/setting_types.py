"""Types of settings: what is read as a number of frames, and the bounds of numbers.

Types are strict: a bool or a text is no number, and 1.0 is no integer. An integer that memory, files or time depend on
has an upper bound, beyond which no run would ever make a step.
"""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_COUNT = 10**15  # frames, steps, updates: sums of a few still fit into 64 bits
MAX_SEED = 2**63 - 1
MAX_SECONDS = 1e9
# of the arguments of an environment: how many, characters of a name, values and characters of one, lists in lists
MAX_ARGUMENTS, MAX_NAME, MAX_LIST, MAX_DEPTH = 100, 100, 1_000, 8
MAX_ARGUMENT = 10**18
UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}
# beginnings of pydantic's messages, and what replaces the message
WORDINGS = {
    "should be a valid integer": "should be a whole number",
    "should be a valid number": "should be a number",
    "should be a valid string": "should be a text",
    "should be a valid string, unable": "should be a text in UTF-8",
    "should be a valid boolean": "should be true or false",
    "should be a valid dictionary": "should be a table",
    "should be a valid list": "should be a list",
    "should be a valid tuple": "should be a list",
}


def reworded(message: str) -> str:
    """Return a message of pydantic in the words of TOML, without its subject and its last dot."""
    message = re.sub(r"^(Value error, |\w+ (?=should ))", "", message).rstrip(".")
    found = [beginning for beginning in WORDINGS if message.startswith(beginning)]
    return WORDINGS[max(found, key=len)] if found else message


def parse_frames(value: object) -> object:
    """Convert ``10M``, ``4e6``, ``500k`` or ``1_000`` to a number; return other values as they are."""
    if isinstance(value, str):
        match = re.fullmatch(r"([+-]?\d[\d_]*(?:\.\d+)?(?:e\d{1,3})?)([kMG]?)", value.strip(), re.IGNORECASE | re.ASCII)
        if match is None:
            return value
        value = float(match[1].replace("_", "")) * UNITS[match[2].lower()]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _frames(value: object) -> object:
    number = parse_frames(value)
    if isinstance(number, str):
        raise ValueError("should be a number of frames, such as 10M, 4e6, 500k or 10_000")
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("should be a finite number")
    return number


def parse_none(value: object) -> object:
    """Convert the text ``none`` to None, which TOML cannot write."""
    return None if value == "none" else value


Frames = Annotated[int, BeforeValidator(_frames), Field(le=MAX_COUNT)]
OptionalFrames = Annotated[Annotated[Frames, Field(gt=0)] | None, BeforeValidator(parse_none)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.01, le=MAX_SECONDS)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# TOML and JSON have lists; their items are as strict as all settings
Fractions = Annotated[tuple[Annotated[Fraction, Field(strict=True)], ...], Field(strict=False, max_length=1024)]
Speeds = Annotated[
    tuple[Annotated[float, Field(ge=0.01, le=100)], ...], Field(strict=False, min_length=1, max_length=1024)
]


def _argument(value: object) -> object:
    """Return an argument of an environment; raise ValueError where JSON and TOML could not both hold it."""
    leaves = _leaves(value)
    if any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf in leaves):
        raise ValueError("should hold finite numbers")
    is_large = any(isinstance(leaf, int | float) and abs(leaf) >= MAX_ARGUMENT for leaf in leaves)
    is_long = len(leaves) > MAX_LIST or any(isinstance(leaf, str) and len(leaf) > MAX_LIST for leaf in leaves)
    if is_large or is_long:
        raise ValueError(
            f"can have at most {MAX_LIST:,} values, texts of {MAX_LIST:,} characters, and numbers below 1e18"
        )
    for leaf in leaves:
        # run.json holds UTF-8
        if isinstance(leaf, str) and leaf.encode(errors="replace").decode() != leaf:
            raise ValueError("should be a text in UTF-8")
    return _as_lists(value)


def _as_lists(value: object) -> object:
    """Return a value with lists in place of tuples, as it comes back from run.json."""
    return [_as_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _leaves(value: object, depth: int = 0) -> list[object]:
    """Return the scalars of a value and of the lists in it."""
    if isinstance(value, list | tuple) and depth < MAX_DEPTH:
        return [leaf for inner in value for leaf in _leaves(inner, depth + 1)]
    if isinstance(value, bool | int | float | str):
        return [value]
    raise ValueError("should be a number, a text, true or false, or a list of these")


def _argument_names(arguments: dict[str, object]) -> dict[str, object]:
    for name in arguments:
        if not name.isidentifier() or len(name) > MAX_NAME:
            raise PydanticCustomError("argument_name", "has a name that is not a Python identifier")
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError(f"should have at most {MAX_ARGUMENTS} arguments")
    return arguments


# keyword arguments of an environment, which run.json, TOML and the command line can all hold
Arguments = Annotated[dict[str, Annotated[Any, AfterValidator(_argument)]], AfterValidator(_argument_names)]


def named(choices: Sequence[str]) -> AfterValidator:
    """Return a validator of a name: one of the choices, or that of a part of the user, ``module:Name``."""

    def check(name: str) -> str:
        if name in choices or ":" in name:
            return name
        words = [repr(choice) for choice in (*choices, "module:Name")]
        expected = f"{', '.join(words[:-1])} or {words[-1]}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})

    return AfterValidator(check)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
