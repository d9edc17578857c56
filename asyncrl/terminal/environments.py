"""The list of environments as text: a heading for each kind, and the names below it."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.text import Text

from asyncrl.envs.catalog import Listed
from asyncrl.text import counted, one_line

INDENT = "  "
TITLES = {
    "atari": "Atari",
    "minatar": "MinAtar",
    "vector": "Vectors and states",
    "continuous": "Continuous actions, for a3c and a2c",
    "image": "Images",
}
OWN = "Your own environment is named pkg.module:factory, such as mazes:make_maze."


def listing(found: Sequence[Listed], pattern: str, width: int) -> Iterator[Text]:
    """Yield the lines for environments that are sorted by kind; names are wrapped to the width of a terminal."""
    if not found:
        yield Text(f"No environment has {one_line(pattern)!r} in its name. {OWN}")
        return
    for kind, group in groupby(found, lambda each: each.kind):
        same = list(group)
        needs = "" if same[0].is_installed else f"; pip install 'asyncrl[{kind}]'"
        heading = f"{TITLES[kind]}: {counted(len(same), 'name')}, presets {', '.join(same[0].presets)}{needs}"
        yield Text(heading, "bold", no_wrap=True)
        names = " ".join(each.name for each in same)
        for line in textwrap.wrap(names, max(width - len(INDENT), 20), break_on_hyphens=False, break_long_words=False):
            yield Text(INDENT + line, no_wrap=True)
    yield Text(OWN, "dim", no_wrap=True)
