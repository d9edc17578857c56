"""What Gymnasium says that ``reset`` and ``step`` return, and how an error in a user's code becomes one line."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

import gymnasium
import numpy as np

from asyncrl.errors import InputError, shown
from asyncrl.text import error_text, one_line

PACKAGE = Path(__file__).parents[1]
NUMBERS = "fiub"  # kinds of numpy types that are real numbers: floats, integers, bools


def unwrapped(env: "gymnasium.Env[Any, Any]") -> "gymnasium.Env[Any, Any]":
    """Return an environment without its wrappers, or itself where its own property raises an error."""
    try:
        return env.unwrapped
    except Exception:
        return env


def owner(env: "gymnasium.Env[Any, Any]") -> str:
    """Return the class of an environment without its wrappers, and the file of the class: ``Maze (maze.py)``."""
    kind = type(unwrapped(env))
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return f"{kind.__qualname__} ({_short(file) if file else kind.__module__})"


def check_reset(env: "gymnasium.Env[Any, Any]", returned: Any) -> Any:
    """Return the observation out of what ``reset`` returned; raise InputError where that is not (observation, info)."""
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)):
        refuse(env, "reset", f"{described(returned)}, not (observation, info) with a dict as info")
    return returned[0]


def check_step(env: "gymnasium.Env[Any, Any]", returned: Any) -> tuple[Any, Any, Any, Any]:
    """Return observation, reward, terminated and truncated; raise InputError where ``step`` returned something else."""
    if not (isinstance(returned, tuple) and len(returned) == 5):
        refuse(env, "step", f"{described(returned)}, not 5: observation, reward, terminated, truncated, info")
    state, reward, terminated, truncated, info = returned
    if not isinstance(reward, (float, int)) and not _is_scalar(reward, NUMBERS):
        refuse(env, "step", f"{described(reward)} as reward, not a number")
    if not isinstance(terminated, (bool, np.bool_)) and not _is_scalar(terminated, "b"):
        refuse(env, "step", f"{described(terminated)} as terminated, not a bool; use bool(…)")
    if not isinstance(truncated, (bool, np.bool_)) and not _is_scalar(truncated, "b"):
        refuse(env, "step", f"{described(truncated)} as truncated, not a bool; use bool(…)")
    if not isinstance(info, dict):
        refuse(env, "step", f"{described(info)} as info, not a dict")
    return state, reward, terminated, truncated


def refuse(env: "gymnasium.Env[Any, Any]", method: str, what: str) -> NoReturn:
    """Raise InputError: a method of an environment returned ``what``."""
    raise InputError(f"{method}() of {owner(env)} returned {what}.")


def _is_scalar(value: Any, kinds: str) -> bool:
    try:
        array = np.asarray(value)
    # a user's type may raise anything here
    except Exception:
        return False
    return array.ndim == 0 and array.dtype.kind in kinds


def described(value: Any) -> str:
    """Return what a user's code returned, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, tuple):
        return f"{len(value)} value{'s' * (len(value) != 1)}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return shown(value)
    return f"an object of type {type(value).__name__}"


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Turn what a user's code raises, SystemExit too, into an InputError of one line: ``what``, the error, the place.

    Text on stderr appears after the block. It is dropped where the code exits: its last line is then in the message.
    """
    stream, held = sys.stderr, _HeldBack(sys.stderr)
    sys.stderr = cast(TextIO, held)
    try:
        yield
    except InputError:
        raise
    except SystemExit as error:
        raise InputError(f"{what}: it called sys.exit({_code(error)}){place(error)}{held.take_last_line()}.") from error
    except BaseException as error:
        if _is_ctrl_c(error):
            raise
        raise InputError(f"{what}: {error_text(error)}{place(error)}") from error
    finally:
        # the code may have set another stream
        if cast(object, sys.stderr) is held:
            sys.stderr = stream
        if stream is not None:
            stream.write("".join(held.parts))


@contextmanager
def played_by_user(env: str) -> Iterator[None]:
    """Turn an error that came through a user's file into an InputError of one line; others pass."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not place(error):
            raise
        raise InputError(f"{env} failed: {error_text(error)}{place(error)}") from error


def _is_ctrl_c(error: BaseException) -> bool:
    # A signal may interrupt any line; a statement that raises KeyboardInterrupt is the user's own.
    line = traceback.extract_tb(error.__traceback__)[-1].line or ""
    return isinstance(error, KeyboardInterrupt) and not line.startswith("raise")


def _code(error: SystemExit) -> str:
    return "" if error.code is None else one_line(repr(error.code))


class _HeldBack:
    """A text stream that keeps what is written; everything else is that of the stream behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        self.parts.append(text)
        return len(text)

    def take_last_line(self) -> str:
        """Drop the text; return a part of a sentence with its last line, or nothing."""
        lines = "".join(self.parts).strip().splitlines()
        self.parts.clear()
        return f", after it printed {one_line(lines[-1])!r}; its file may not parse sys.argv" if lines else ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def place(error: BaseException) -> str:
    """Return `` (maze.py:12)``, the last line of a user's file that an error came through; empty if there is none."""
    installed = tuple({sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), str(PACKAGE), "<"})
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(installed)]
    return f" ({_short(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""


def _short(file: str) -> str:
    """Return a path relative to the working directory where it is inside."""
    path = Path(file)
    here = Path.cwd()
    return one_line(str(path.relative_to(here) if path.is_relative_to(here) else path))
