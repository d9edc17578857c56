"""The cached file of the compiled library: what may be loaded from it, and how it is replaced.

A library runs with all rights of the user who loads it. So it is loaded only from a directory and a file that belong to
this user and that no other user may write to, and only if it is whole: the file ends with the SHA-256 of its contents.
The bytes that were checked are the bytes that are loaded, from memory: a later change of the file changes nothing.
"""

import ctypes
import hashlib
import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path

from asyncrl.system.files import WRITABLE_BY_OTHERS, open_private_directory, open_regular

DIGEST_BYTES = hashlib.sha256().digest_size
MAX_BYTES = 64 << 20  # a library has about 100 kB


def cache_directory() -> Path:
    """Return the directory of cached libraries, which need not exist; raise OSError if there is no place for one."""
    # the XDG specification: a relative path is ignored
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else _home() / ".cache") / "asyncrl"


def _home() -> Path:
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            raise OSError("there is no home directory; set XDG_CACHE_HOME") from None
    if not os.path.isdir(home):
        raise OSError(f"there is no home directory {home}; set XDG_CACHE_HOME")
    return Path(home)


class LibraryFile:
    """One file in the cache directory, as a context manager; entering raises OSError unless it is private."""

    def __init__(self, directory: Path, name: str) -> None:
        """Name the directory and the file; nothing is opened yet."""
        self.directory, self._name = directory, name

    def __enter__(self) -> "LibraryFile":
        """Open the directory, so that later calls use this one even if another is put into its place."""
        self._descriptor = open_private_directory(self.directory)
        return self

    def __exit__(self, *error: object) -> None:
        """Close the directory."""
        os.close(self._descriptor)

    def read(self) -> bytes | None:
        """Return the library; None if the file is absent, damaged, or may have been written by another user."""
        try:
            with open_regular(self._name, self._descriptor) as file:
                found = os.fstat(file.fileno())
                if found.st_uid != os.geteuid() or found.st_mode & WRITABLE_BY_OTHERS or found.st_size > MAX_BYTES:
                    return None
                data = file.read(MAX_BYTES)
        except OSError:
            return None
        library, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        return library if hashlib.sha256(library).digest() == digest else None

    def replace(self, library: bytes) -> None:
        """Write the file whole, and only then give it its name; other processes may do the same."""
        temporary = f".tmp-{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=self._descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(library + hashlib.sha256(library).digest())
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self._name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise


def load_bytes(library: bytes) -> ctypes.CDLL:
    """Load a library from memory; raise OSError if the system cannot."""
    descriptor = os.memfd_create("asyncrl-native")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(library)
        return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
