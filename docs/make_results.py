"""Fills the marked tables and figures of the documents from published sweeps: ``make results``.

A comment in a page names what follows it:

    <!-- results: SWEEP | TABLE | show: TITLE, TITLE -->             columns of a table of the report on a sweep
    <!-- results: SWEEP | TABLE | rows: TITLE | columns: TITLE | cell: TITLE -->      one cell for each pair of values
    <!-- results: SWEEP | FIGURE.svg -->                             a figure of the report, in the link below

SWEEP is a directory of results/published, TABLE the name of a file in the report's ``tables/``. With ``--check`` the
tables are compared, and nothing is written. Figures are not compared: they depend on the version of matplotlib.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from asyncrl.analysis.selection import Selection
from asyncrl.report import gather, publish
from asyncrl.report.columns import ReportTable

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PUBLISHED, REPORTS = ROOT / "results/published", ROOT / "build/results"
MARK = "<!-- results:"
# a comment, and the table or the image below it
PLACE = re.compile(
    rf"^{MARK} (?P<what>[^>\n]+) -->\n(!\[[^\n]*\]\((?P<file>[^)\n]+)\)\n|(\|.*\n)*)", flags=re.MULTILINE
)
KEYS = ({"show"}, {"rows", "columns", "cell"})
Found = TypeVar("Found")


class PlaceError(Exception):
    """A comment names something that is not there."""


@cache
def report(sweep: str) -> gather.Report:
    """Read a published sweep."""
    if not (PUBLISHED / sweep).is_dir():
        raise PlaceError(f"there is no directory {sweep} in results/published")
    return gather.gather(gather.Request(Selection(PUBLISHED / sweep, (), None, ()), REPORTS / sweep))


@cache
def figures(sweep: str) -> Path:
    """Draw a report on a sweep, and return the directory of its figures."""
    print(f"drawing {sweep}", flush=True)
    return publish.publish(report(sweep)).parent / "figures"


def table(sweep: str, name: str, options: Mapping[str, str]) -> str:
    """Return a Markdown table."""
    if options.keys() not in KEYS:
        raise PlaceError("a table needs show, or rows, columns and cell")
    tables = {section.table.name: section.table for section in report(sweep).sections if section.table}
    found = _choose(tables, name, "table")
    if "show" in options:
        titles = [title.strip() for title in options["show"].split(",")]
        return _lines(titles, [[_choose(row, title, "column") for title in titles] for row in _texts(found)])
    cells: dict[tuple[str, str], str] = {}
    for row in _texts(found):
        line, column, cell = (_choose(row, options[key], "column") for key in ("rows", "columns", "cell"))
        if (line, column) in cells:
            raise PlaceError(f"two rows have {options['rows']} {line} and {options['columns']} {column}")
        cells[line, column] = cell
    rows, columns = (list(dict.fromkeys(pair[axis] for pair in cells)) for axis in (0, 1))
    body = [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return _lines([options["rows"], *columns], body)


def _choose(known: Mapping[str, Found], name: str, kind: str) -> Found:
    if name not in known:
        raise PlaceError(f"there is no {kind} {name!r}, only {', '.join(known)}")
    return known[name]


def _texts(found: ReportTable) -> Iterator[dict[str, str]]:
    """Yield the rows of a table as texts by column."""
    for row in found.rows:
        yield dict(zip(found.header, (cell.text for cell in row), strict=True))


def _lines(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first have numbers."""
    every = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in every)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def fill(page: Path, draw: bool) -> str:
    """Return the text of a page with its tables made anew, and with ``draw`` copy its figures beside it.

    Raises:
        PlaceError: a comment has not the form above, or names what is not there.
    """
    text = page.read_text()
    if text.count(MARK) != len(PLACE.findall(text)):
        raise PlaceError(f"{page.name}: each {MARK} … --> must be a line of its own")

    def make(place: re.Match[str]) -> str:
        try:
            return _make(place, page, draw)
        except PlaceError as error:
            raise PlaceError(f"{page.name}: {place['what']}: {error}") from None

    return PLACE.sub(make, text)


def _make(place: re.Match[str], page: Path, draw: bool) -> str:
    sweep, _, rest = (part.strip() for part in place["what"].partition("|"))
    name, *options = (part.strip() for part in rest.split("|"))
    if not name.endswith(".svg"):
        pairs = {key: value for key, _, value in (option.partition(": ") for option in options)}
        return f"{MARK} {place['what']} -->\n{table(sweep, name, pairs)}"
    if place["file"] is None:
        raise PlaceError("no image follows")
    if draw:
        made = {file.name: file for file in figures(sweep).glob("*.svg")}
        shutil.copy(_choose(made, name, "figure"), page.parent / place["file"])
    return place[0]


def main(arguments: list[str]) -> int:
    """Fill all pages; with ``--check`` return 1 if a table would change. Return 2 if a comment is wrong."""
    parser = argparse.ArgumentParser(
        prog="docs/make_results.py", description="Fill tables and figures of the documents."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a table would change")
    is_check = parser.parse_args(arguments).check
    try:
        texts = {page: fill(page, draw=not is_check) for page in PAGES}
    except PlaceError as error:
        print(error, file=sys.stderr)
        return 2
    changed = {page: text for page, text in texts.items() if text != page.read_text()}
    for page, text in changed.items():
        if is_check:
            print(f"{page.relative_to(ROOT)}: its numbers are not those of the data")
        else:
            page.write_text(text)
            print(f"filled {page.relative_to(ROOT)}")
    return int(is_check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
