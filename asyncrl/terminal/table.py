"""Tables without lines: whole numbers and names at any width, since columns of less value are left out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

GAP = 2  # spaces between columns
HEADER = "dim"


class Column(NamedTuple):
    """One column: its header, and a cell for each row."""

    header: str
    cells: Sequence[Text]
    rank: int  # 0: the name of a row; a column of higher rank is left out first
    is_essential: bool = False  # it is never left out
    is_right: bool = False  # aligned to the right, as numbers are

    @property
    def width(self) -> int:
        """Return the columns of text that it takes."""
        return max(_width(self.header), *(cell.cell_len for cell in self.cells), 0)


def _width(text: str) -> int:
    return Text(text).cell_len


def lay_out(columns: Sequence[Column], width: int) -> list[Text]:
    """Return the lines of a table in a terminal of ``width`` columns.

    A name that leaves no room for the essential columns has a line of its own, above the others of its row.

    Args:
        columns: in the order in which they are shown; that of rank 0 is the first.
        width: of the terminal.
    """
    name, *others = columns
    essential = [column for column in others if column.is_essential]
    room = width - sum(GAP + column.width for column in essential)
    lengths = [cell.cell_len for cell in name.cells]
    limit = max((length for length in (_width(name.header), *lengths) if length <= room), default=0)
    shown = set(map(id, essential))
    room -= limit
    for column in sorted(others, key=lambda column: column.rank):
        if id(column) not in shown and GAP + column.width <= room:
            shown.add(id(column))
            room -= GAP + column.width
    kept = [column for column in others if id(column) in shown]
    lines = [_line([Text(column.header, HEADER) for column in (name, *kept)], [name, *kept], limit)]
    for row in zip(*(column.cells for column in (name, *kept)), strict=True):
        lines += _row(row, [name, *kept], limit)
    return lines


def _row(cells: Sequence[Text], columns: Sequence[Column], limit: int) -> Iterator[Text]:
    name, *others = cells
    if name.cell_len > limit:
        yield name
        name = Text("")
    yield _line([name, *others], columns, limit)


def _line(cells: Iterable[Text], columns: Sequence[Column], limit: int) -> Text:
    line = Text(no_wrap=True, overflow="ignore")
    for i, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        space = " " * max(0, (limit if i == 0 else column.width) - cell.cell_len)
        parts = (space, cell) if column.is_right else (cell, space)
        for part in (" " * GAP * (i > 0), *parts):
            line.append(part)
    line.rstrip()
    return line
