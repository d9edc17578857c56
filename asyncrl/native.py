"""The compiled part: native.c, built once for this machine where it has a compiler. Without it torch does the same.

``ASYNCRL_NATIVE=0`` does without. What was built is kept in the user's cache directory.
"""

import ctypes
import hashlib
import os
import platform
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


@cache
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
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None, "no C compiler"
    try:
        return ctypes.CDLL(str(_build(compiler))), "compiled for this machine"
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line] or [f"{compiler} failed"]
        return None, lines[0]
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)


def _build(compiler: str) -> Path:
    """Compile, unless that was done before; processes that do so at the same time do not disturb each other."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncrl"
    built = root / f"native-{_key(compiler)}.so"
    if not built.exists():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            fresh = Path(folder, built.name)
            command = [compiler, *FLAGS, "-o", str(fresh), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_SECONDS)
            fresh.replace(built)
    return built


def _key(compiler: str) -> str:
    """Return what a build depends on: the source, the flags, the compiler, and the processor's instructions."""
    try:
        features = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")][:1]
    except OSError:
        features = [platform.processor()]
    parts = [SOURCE.read_text(), *FLAGS, compiler, platform.machine(), *features]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def pointer(tensor: "Tensor") -> ctypes.c_void_p:
    """Return where a contiguous tensor's data lie."""
    return ctypes.c_void_p(tensor.data_ptr())


def pointers(tensors: "Sequence[Tensor]") -> "ctypes.Array[ctypes.c_void_p]":
    """Return where each contiguous tensor's data lie."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
