"""Compiles native.c for this machine, caches the library and loads it.

The fast path is optional: without the library, torch computes the same results up to rounding. ``ASYNCRL_NATIVE=0``
switches it off, ``CC`` selects the compiler. docs/kernels.md describes the design. Other packages use ``load``,
``status``, ``NO_COMPILER``, ``NO_CACHE`` and ``pointer`` only.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncrl.kernels.library_file import LibraryFile, cache_directory, load_bytes

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-w")
TORSOS = ("nips", "nature", "compact", "minatar_4", "minatar_6", "minatar_7", "minatar_10")
FUNCTIONS = (
    *(
        "rmsprop",
        "network_forward",
        "network_backward",
        "network_sample",
        "network_explore",
        "a3c_loss",
        "squared_error",
    ),
    *(f"{name}_{function}" for name in TORSOS for function in ("forward", "backward")),
)
COMPILE_SECONDS = 60  # a build takes one or two
MAX_OUTPUT = 1 << 16  # bytes of a compiler's messages that are kept
MAX_REASON = 200  # characters
IN_USE, NO_COMPILER, NO_CACHE = "compiled for this machine", "no C compiler", "cannot cache the library"
# A file that is no library may kill the process that loads it, so that a child loads a new one first: from memory, as
# ``load_bytes`` does, since a file system may forbid to execute its files.
TRIAL = """
import ctypes, os, sys
memory = os.memfd_create("trial")
with open(sys.argv[1], "rb") as library, os.fdopen(os.dup(memory), "wb") as copy:
    copy.write(library.read())
library = ctypes.CDLL(f"/proc/self/fd/{memory}")
for name in sys.argv[2:]:
    getattr(library, name)
"""


class BuildError(Exception):
    """The compiler made no library that can be used. Its text is one line."""


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
    try:
        compiler = shlex.split(os.environ.get("CC") or "cc")
        if not compiler:
            return None, "CC is blank: it names no compiler"
        if shutil.which(compiler[0]) is None:
            return None, NO_COMPILER
        return _load(compiler), IN_USE
    # the library is optional: no fault of its build or its file may end a command
    except Exception as error:
        reason = "".join(character if character.isprintable() else " " for character in str(error))
        return None, " ".join(reason.split())[:MAX_REASON] or type(error).__name__


def _load(compiler: Sequence[str]) -> ctypes.CDLL:
    try:
        with LibraryFile(cache_directory(), f"native-{_build_key(compiler)}.so") as file:
            library = file.read()
            if library is not None:
                # the build may be of a system with another C library and the same home directory
                with suppress(OSError):
                    return load_bytes(library)
            library = _build(compiler, file.directory)
            file.replace(library)
    except OSError as error:
        raise BuildError(f"{NO_CACHE}: {error}") from error
    return load_bytes(library)


def _build(compiler: Sequence[str], directory: Path) -> bytes:
    """Compile in a temporary folder of a directory, and return the library."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        built = Path(folder, "native.so")
        code, output = _run([*compiler, *FLAGS, "-o", str(built), str(SOURCE), "-lm"])
        if code:
            errors = [line for line in output.splitlines() if "error" in line]
            raise BuildError(errors[0] if errors else f"{compiler[0]} failed")
        if not built.is_file():
            raise BuildError(f"{compiler[0]} wrote no library")
        if _run([sys.executable, "-I", "-S", "-c", TRIAL, str(built), *FUNCTIONS])[0]:
            raise BuildError(f"{compiler[0]} wrote a library that cannot be loaded")
        return built.read_bytes()


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command; return its exit code and the beginning of its messages. Raise BuildError if it takes too long."""
    # compiler messages in English; a session of its own, so that its children can be killed too
    options: dict[str, Any] = {"env": os.environ | {"LC_ALL": "C"}, "start_new_session": True}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
        )
    except OSError as error:
        raise BuildError(f"cannot start {command[0]}: {error.strerror}") from error
    kept = bytearray()

    def read() -> None:
        assert process.stderr is not None
        while data := os.read(process.stderr.fileno(), MAX_OUTPUT):
            kept.extend(data[: MAX_OUTPUT - len(kept)])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code = process.wait(COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command[0]} took longer than {COMPILE_SECONDS} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # a process that left the session may keep the pipe open
        reader.join(1.0)
    return code, bytes(kept).decode(errors="replace")


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
