"""Compiles native.c for this machine, caches the library and loads it.

The fast path is optional: without the library, torch computes the same results up to rounding. ``ASYNCRL_NATIVE=0``
switches it off, ``CC`` selects the compiler. docs/kernels.md describes the design. Other packages use ``load``,
``status``, ``NO_COMPILER`` and ``pointer`` only.
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-w")
COMPILE_SECONDS = 120
IN_USE, NO_COMPILER = "compiled for this machine", "no C compiler"


def load() -> ctypes.CDLL | None:
    """Return the compiled library, after compiling it if necessary; None if it cannot be used (see ``status``)."""
    return _load_once()[0]


def status() -> str:
    """Return one line: that the compiled library is used, or why not."""
    return _load_once()[1]


def pointer(tensor: "Tensor", row: int = 0) -> ctypes.c_void_p:
    """Return the address of a row of a contiguous tensor; it is valid while the tensor exists."""
    offset = row and row * tensor.stride(0) * tensor.element_size()
    return ctypes.c_void_p(tensor.data_ptr() + offset)


def pointers(tensors: "Sequence[Tensor]") -> "ctypes.Array[ctypes.c_void_p]":
    """Return the addresses of contiguous tensors, as a C array; they are valid while the tensors exist."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


@cache
def _load_once() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("ASYNCRL_NATIVE") == "0":
        return None, "switched off by ASYNCRL_NATIVE=0"
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        return None, NO_COMPILER
    try:
        built = _cache_directory() / f"native-{_build_key(compiler)}.so"
        if not built.exists():
            _build(compiler, built)
        try:
            return ctypes.CDLL(str(built)), IN_USE
        # the cached file is damaged
        except OSError:
            _build(compiler, built)
            return ctypes.CDLL(str(built)), IN_USE
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line] or [f"{compiler[0]} failed"]
        return None, lines[0]
    # Path.home raises RuntimeError if there is no home directory
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        return None, str(error)


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncrl"


def _build(compiler: Sequence[str], built: Path) -> None:
    """Compile to a temporary file and rename it, so that concurrent builds are safe and no partial file is loaded."""
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        temporary = Path(folder, built.name)
        command = [*compiler, *FLAGS, "-o", str(temporary), str(SOURCE), "-lm"]
        # compiler messages in English
        variables = os.environ | {"LC_ALL": "C"}
        options: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace", "check": True}
        subprocess.run(command, env=variables, timeout=COMPILE_SECONDS, **options)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(built)


def _build_key(compiler: Sequence[str]) -> str:
    """Return a hash of all inputs of a build: the source, the flags, the compiler, and the processor's instructions."""
    try:
        features = [line for line in Path("/proc/cpuinfo").read_bytes().splitlines() if line.startswith(b"flags")][:1]
    except OSError:
        features = [platform.processor().encode()]
    # the target of the link, such as /usr/bin/gcc-12 for cc, changes with the compiler's version
    program = Path(shutil.which(compiler[0]) or compiler[0]).resolve()
    words = " ".join([*FLAGS, *compiler, str(program), platform.machine()])
    return hashlib.sha256(b"\n".join([SOURCE.read_bytes(), words.encode(), *features])).hexdigest()[:16]
