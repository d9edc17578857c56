"""The compiled part: native.c, built once for this machine where it has a C compiler. Without it torch does the same.

``ASYNCRL_NATIVE=0`` does without. What was built is kept in the user's cache directory.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-w")
COMPILE_SECONDS = 120
IN_USE, NO_COMPILER = "compiled for this machine", "no C compiler"


def library() -> ctypes.CDLL | None:
    """Return the compiled part, built if need be; None where there is none, for the reason that ``status`` gives."""
    return _load()[0]


def status() -> str:
    """Say in a few words whether the compiled part is used, and why not."""
    return _load()[1]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("ASYNCRL_NATIVE") == "0":
        return None, "switched off by ASYNCRL_NATIVE=0"
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        return None, NO_COMPILER
    try:
        built = _cache() / f"native-{_key(compiler)}.so"
        if not built.exists():
            _build(compiler, built)
        try:
            return ctypes.CDLL(str(built)), IN_USE
        except OSError:  # damaged
            _build(compiler, built)
            return ctypes.CDLL(str(built)), IN_USE
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line] or [f"{compiler[0]} failed"]
        return None, lines[0]
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:  # RuntimeError: no home
        return None, str(error)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncrl"


def _build(compiler: Sequence[str], built: Path) -> None:
    """Compile; processes that do so at the same time do not disturb each other, and no half of a file is ever seen."""
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        fresh = Path(folder, built.name)
        command = [*compiler, *FLAGS, "-o", str(fresh), str(SOURCE), "-lm"]
        english = os.environ | {"LC_ALL": "C"}
        subprocess.run(
            command, env=english, capture_output=True, text=True, errors="replace", check=True, timeout=COMPILE_SECONDS
        )
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(built)


def _key(compiler: Sequence[str]) -> str:
    """Return what a build depends on: the source, the flags, the compiler, and the processor's instructions."""
    try:
        features = [line for line in Path("/proc/cpuinfo").read_bytes().splitlines() if line.startswith(b"flags")][:1]
    except OSError:
        features = [platform.processor().encode()]
    program = Path(shutil.which(compiler[0]) or compiler[0]).resolve()  # /usr/bin/gcc-12, rather than cc
    words = " ".join([*FLAGS, *compiler, str(program), platform.machine()])
    return hashlib.sha256(b"\n".join([SOURCE.read_bytes(), words.encode(), *features])).hexdigest()[:16]


def pointer(tensor: "Tensor", row: int = 0) -> ctypes.c_void_p:
    """Return where a contiguous tensor's data lie, from a row on, for as long as the tensor lives."""
    offset = row and row * tensor.stride(0) * tensor.element_size()
    return ctypes.c_void_p(tensor.data_ptr() + offset)


def pointers(tensors: "Sequence[Tensor]") -> "ctypes.Array[ctypes.c_void_p]":
    """Return where each contiguous tensor's data lie, for as long as the tensors live."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
