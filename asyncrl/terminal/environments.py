"""The list of environments as text: a heading for each kind, and the names below it."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.text import Text

from asyncrl.envs.catalog import MISSING, UNSUPPORTED, Listed
from asyncrl.errors import install
from asyncrl.text import counted, one_line

INDENT = "  "
TITLES = {
    "atari": "Atari",
    "minatar": "MinAtar",
    "vector": "Vectors and states",
    "continuous": "Continuous actions, for a3c and a2c",
    "image": "Images",
    MISSING: "Packages are missing",
    UNSUPPORTED: "Not supported",
}
OWN = "Your own environment is named pkg.module:factory, such as mazes:make_maze."


def listing(found: Sequence[Listed], footer: str | None, width: int) -> Iterator[Text]:
    """Yield the lines for environments that are sorted by kind; names are wrapped to the width of a terminal.

    Args:
        found: the environments.
        footer: the last line; None: there is none.
        width: characters of a line.
    """
    for kind, group in groupby(found, lambda each: each.kind):
        same = list(group)
        heading = f"{TITLES[kind]}: {counted(len(same), 'name')}"
        if kind in (MISSING, UNSUPPORTED):
            yield Text(heading, "bold", no_wrap=True)
            yield from _by_problem(same, width)
            continue
        needed = "" if same[0].is_installed else f"; {install(kind)}"
        yield Text(f"{heading}, presets {', '.join(same[0].presets)}{needed}", "bold", no_wrap=True)
        yield from _names(same, width)
    if footer:
        yield Text(footer, "dim", no_wrap=True)


def _by_problem(found: Sequence[Listed], width: int) -> Iterator[Text]:
    """Yield each problem with the names that have it."""
    by_problem: dict[str, list[Listed]] = {}
    for each in found:
        by_problem.setdefault(one_line(each.problem or "").removeprefix(f"{each.name} "), []).append(each)
    for problem, same in by_problem.items():
        yield from _names(same, width)
        yield Text(2 * INDENT + problem, no_wrap=True)


def _names(found: Sequence[Listed], width: int) -> Iterator[Text]:
    names = " ".join(one_line(each.name) for each in found)
    for line in textwrap.wrap(names, max(width - len(INDENT), 20), break_on_hyphens=False, break_long_words=False):
        yield Text(INDENT + line, no_wrap=True)
