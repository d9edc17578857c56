"""Fills tables and figures of the documents from the published runs: ``make results``; with ``--check``, compares them.

A comment in a page names what follows it:

    <!-- results: SWEEP | TABLE | show: TITLE, TITLE -->             columns of a table of the report on a sweep
    <!-- results: SWEEP | TABLE | rows: TITLE | columns: TITLE | cell: TITLE -->      one cell for each pair of values
    <!-- results: SWEEP | FIGURE.svg -->                             a figure of the report, in the link below

SWEEP is a directory of results/published, TABLE the name of a file in the report's ``tables/``.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from asyncrl.analysis.selection import Selection
from asyncrl.report import gather, publish
from asyncrl.report.columns import ReportTable

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PUBLISHED, REPORTS = ROOT / "results/published", ROOT / "build/results"
# a comment, and the table or the image below it
PLACE = re.compile(r"^<!-- results: (?P<what>[^>\n]+) -->\n(!\[.*\]\((?P<file>.*)\)\n|(\|.*\n)*)", re.MULTILINE)


@cache
def report(sweep: str) -> gather.Report:
    """Read a published sweep."""
    selection = Selection(PUBLISHED / sweep, (), None, ())
    return gather.gather(gather.Request(selection, REPORTS / sweep))


@cache
def figures(sweep: str) -> Path:
    """Draw a report on a sweep, and return the directory of its figures."""
    print(f"drawing {sweep}", flush=True)
    return publish.publish(report(sweep)).parent / "figures"


def table(sweep: str, name: str, options: dict[str, str]) -> str:
    """Return a Markdown table.

    Raises:
        KeyError: the report has no such table, or the table no such column.
    """
    tables = {section.table.name: section.table for section in report(sweep).sections if section.table}
    found = tables[name]
    if "show" in options:
        titles = [title.strip() for title in options["show"].split(",")]
        return lines(titles, [[row[title] for title in titles] for row in texts(found)])
    cells = {(row[options["rows"]], row[options["columns"]]): row[options["cell"]] for row in texts(found)}
    rows, columns = (list(dict.fromkeys(pair[axis] for pair in cells)) for axis in (0, 1))
    body = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return lines([options["rows"], *columns], body)


def texts(found: ReportTable) -> Iterator[dict[str, str]]:
    """Yield the rows of a table as texts by column."""
    for row in found.rows:
        yield dict(zip(found.header, (cell.text for cell in row), strict=True))


def lines(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first have numbers."""
    every = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in every)


def fill(page: Path, draw: bool) -> str:
    """Return the text of a page with its tables made anew, and with ``draw`` copy its figures beside it."""

    def make(place: re.Match[str]) -> str:
        sweep, name, *rest = (part.strip() for part in place["what"].split("|"))
        if name.endswith(".svg"):
            if draw:
                shutil.copy(figures(sweep) / name, page.parent / place["file"])
            return place[0]
        options = dict(part.split(": ", 1) for part in rest)
        return f"<!-- results: {place['what']} -->\n{table(sweep, name, options)}"

    return PLACE.sub(make, page.read_text())


def main(arguments: list[str]) -> int:
    """Fill all pages; with ``--check`` return 1 if one would change."""
    is_check, code = arguments == ["--check"], 0
    for page in PAGES:
        text = fill(page, draw=not is_check)
        if text != page.read_text():
            print(f"{page.relative_to(ROOT)}: its numbers are not those of the data" if is_check else f"filled {page}")
            if not is_check:
                page.write_text(text)
            code = int(is_check)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
