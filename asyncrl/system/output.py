"""Standard output and standard error whose loss ends no process: a reader may leave, a disk may be full."""

import errno
import io
import os
import select
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

# The reader of a pipe or a socket has left, the terminal was closed, or the descriptor was closed.
GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET})
STANDARD = (0, 1, 2)  # descriptors of standard input, output and error


class Output:
    """A text stream in the place of ``sys.stdout`` or ``sys.stderr``: writing to it never raises OSError.

    Without a reader, text is dropped. Any other failure, as of a full disk, is kept in ``error``.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to a stream."""
        self.error: OSError | None = None  # the first failure that lost text which can still be read elsewhere
        self.is_forgiven = False
        self._stream = stream
        self._is_file = _is_regular_file(stream)

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._handle(error)
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the lines, or drop it."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._handle(error)

    def _handle(self, error: OSError | ValueError) -> None:
        """Keep an error of the file; where the reader is gone, send all further text to /dev/null."""
        if not isinstance(error, OSError):  # ValueError: an environment has closed the stream
            return
        if error.errno not in GONE or (self._is_file and error.errno == errno.EIO):
            self.error = self.error or error
            return
        # The buffer of the stream, C libraries and later child processes then meet no error either.
        with suppress(OSError, ValueError):
            _send_to_null(self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        """Return anything else of the stream, such as its encoding."""
        return getattr(self._stream, name)


def guard(errors: str = "backslashreplace") -> None:
    """Make an Output of ``sys.stdout`` and ``sys.stderr``, and open the standard descriptors that are closed.

    Args:
        errors: the error handler for characters that the encoding lacks.
    """
    _open_closed_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, Output):
            continue
        if stream is None:  # it was closed when Python started
            stream = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
        stream = _buffered(stream)
        with suppress(AttributeError):
            stream.reconfigure(errors=errors)  # type: ignore[attr-defined]
        setattr(sys, name, cast(TextIO, Output(stream)))


def _buffered(stream: TextIO) -> TextIO:
    """Return a stream with a buffer: without one, as with PYTHONUNBUFFERED, the rest of a partial write is lost."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, line_buffering=True)


def _open_closed_descriptors() -> None:
    """Open /dev/null in their place: else the next file or pipe gets such a number, and is taken for the output."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            _send_to_null(number)


def _send_to_null(number: int) -> None:
    """Make /dev/null of a descriptor, whether it is open or not; child processes inherit it."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(null, number)
        os.close(null)


def failure() -> OSError | None:
    """Flush both streams; return the first failure of standard output other than a reader that left."""
    sys.stdout.flush()
    sys.stderr.flush()
    return None if not isinstance(sys.stdout, Output) or sys.stdout.is_forgiven else sys.stdout.error


def forgive() -> None:
    """Take lost output, also later, for no failure: it is only the view of a run, whose files have everything."""
    if isinstance(sys.stdout, Output):
        sys.stdout.is_forgiven = True


def is_ready(file: Any) -> bool:
    """Return whether a short write to a file would not block, as it does where a pipe is full or a terminal stopped."""
    try:
        poll = select.poll()
        poll.register(file.fileno(), select.POLLOUT)
        return bool(poll.poll(0))
    except (OSError, ValueError, AttributeError):  # there is no descriptor
        return True


def _is_regular_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
