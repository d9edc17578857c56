"""Opens files that other people or programs may have replaced, and directories that no other user may change."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
KINDS = {  # of what may be in the place of a regular file
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """Open a regular file for reading; see ``open_descriptor``."""
    return os.fdopen(open_descriptor(path, directory), "rb")


def open_descriptor(path: Path | str, directory: int | None = None, flags: int = os.O_RDONLY) -> int:
    """Open a regular file; anything else raises OSError, whose ``strerror`` names it, and none blocks.

    Args:
        path: its path, or its name in ``directory``.
        directory: a descriptor of the directory; None: ``path`` is a path.
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
    return descriptor


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
