"""Opens files that other people may have made, and directories that no other user may change."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """Open a regular file for reading; a link, a FIFO, a device and a directory raise OSError, and none blocks.

    Args:
        path: its last component may be no link.
        directory: the descriptor of a directory that a relative path starts from; None: the working directory.
    """
    # without O_NONBLOCK the open of a FIFO waits for its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Return the contents of a regular file; raise OSError as ``open_regular`` does, or if it has more bytes."""
    with open_regular(path) as file:
        # the file may grow meanwhile, so that its size is no limit
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"{path} has more than {limit:,} bytes")
    return data


def open_private_directory(path: Path) -> int:
    """Create a directory if it is absent, and return its descriptor.

    Raises:
        OSError: it cannot be created, or a user other than this one and root could replace its files.
    """
    for missing in reversed([place for place in (path, *path.parents) if not os.path.lexists(place)]):
        missing.mkdir(0o700, exist_ok=True)
    path = path.resolve()
    for place in path.parents:
        _check_parent(place)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise OSError(f"{path} belongs to another user")
        if found.st_mode & WRITABLE_BY_OTHERS:
            os.fchmod(descriptor, 0o700)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_parent(place: Path) -> None:
    """Raise OSError if another user may rename or replace the entries of a directory."""
    found = place.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise OSError(f"{place} belongs to another user")
    # a group of the same number as the user is the private group of that user
    is_private_group = found.st_gid == found.st_uid
    forbidden = stat.S_IWOTH if is_private_group else WRITABLE_BY_OTHERS
    if found.st_mode & forbidden and not found.st_mode & stat.S_ISVTX:
        raise OSError(f"other users may write to {place}")
