"""How commands print: text from outside is never markup, and never a control character of the terminal."""

import os
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from asyncrl.text import escape, shorten

ENDLESS = 10_000  # columns: the width of a pipe or a file, to which nothing is fitted
SIZES = {"COLUMNS": range(20, 1_001), "LINES": range(5, 1_001)}  # of a terminal, as these variables may give them


class SafeConsole(Console):
    """Prints strings as they are: no markup, no emoji codes, no highlighting; control characters are escaped."""

    def __init__(self, **options: Any) -> None:
        """Take the options of a Console."""
        # In a notebook Rich would make an HTML element of each line; plain lines are read everywhere.
        plain = {"markup": False, "emoji": False, "highlight": False, "force_jupyter": False}
        super().__init__(**plain | options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as a Console does, and escape the texts; Rich's own control sequences are kept."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else escape(segment.text, keep="\n")
            yield segment._replace(text=text)


def console(stderr: bool = False) -> SafeConsole:
    """Return a console for standard output or standard error; elsewhere than on a terminal its lines are endless."""
    stream = sys.stderr if stderr else sys.stdout
    return SafeConsole(stderr=stderr, width=None if stream.isatty() else ENDLESS)


def write(*renderables: RenderableType, soft_wrap: bool = False) -> None:
    """Print to standard output: fitted to a terminal, or as plain lines of any length.

    Args:
        renderables: what to print, one below the other; a string is one line.
        soft_wrap: let the terminal wrap long lines, so that paths in them can be copied; so are Texts with ``no_wrap``.
    """
    out = console()
    with out.capture() as captured:
        for renderable in renderables:
            shown = escape(renderable) if isinstance(renderable, str) else renderable
            is_line = isinstance(shown, Text) and shown.no_wrap
            out.print(shown, soft_wrap=soft_wrap or bool(is_line))
    text = captured.get()
    # A table fills its last column with spaces.
    print("\n".join(line.rstrip() for line in text.split("\n")), end="", flush=True)


def write_lines(text: str) -> None:
    """Print a text of several lines, such as a configuration."""
    print(escape(text, keep="\n"), flush=True)


def write_error(line: str) -> None:
    """Print one line to standard error."""
    print(f"asyncrl: {escape(shorten(line))}", file=sys.stderr, flush=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show on standard error, if it is a terminal, what the command is doing."""
    with console(stderr=True).status(Text(escape(shorten(what, 200)))):
        yield


def ignore_absurd_sizes(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove COLUMNS and LINES that are no size of a terminal, which Rich would obey: with 0 it prints nothing."""
    for name, sizes in SIZES.items():
        value = environment.get(name)
        if value is not None and not (value.isdecimal() and value.isascii() and int(value[:9]) in sizes):
            del environment[name]


def escaped(value: Any) -> Any:
    """Return a nested value of a run with every text in it escaped and shortened."""
    if isinstance(value, dict):
        return {escaped(key): escaped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(inner) for inner in value]
    return escape(shorten(value)) if isinstance(value, str) else value
