"""Opens files that other people or programs may have replaced: regular files only, and never one that blocks."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {  # of what may be in the place of a regular file
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def open_regular(path: Path | str, directory: int | None = None, flags: int = os.O_RDONLY) -> BinaryIO:
    """Open a regular file; anything else raises OSError, whose ``strerror`` names it, and none blocks.

    Args:
        path: its last component may be no link.
        directory: the descriptor of a directory that a relative path starts from; None: the working directory.
        flags: of ``os.open``; a file that they create has the mode of the umask.
    """
    # Without O_NONBLOCK the open of a FIFO waits for its writer.
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | safe, 0o666, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _wrong_kind(path, os.stat(path, dir_fd=directory, follow_symlinks=False)) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise _wrong_kind(path, found)
    return os.fdopen(descriptor, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "r+b")


def _wrong_kind(path: Path | str, found: os.stat_result) -> OSError:
    kind = KINDS.get(stat.S_IFMT(found.st_mode), "of another kind")
    return OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def read_regular(path: Path, limit: int) -> bytes:
    """Return the contents of a regular file; raise OSError as ``open_regular`` does, or if it has more bytes."""
    with open_regular(path) as file:
        # The file may grow meanwhile, so that its size alone is no limit.
        data = file.read(limit + 1) if os.fstat(file.fileno()).st_size <= limit else None
    if data is None or len(data) > limit:
        raise OSError(errno.EINVAL, f"it has more than {limit:,} bytes", str(path))
    return data
