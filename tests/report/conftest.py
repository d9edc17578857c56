import pytest

from asyncrl.report import plot
from tests.report.reports import fill, make


@pytest.fixture
def quick(monkeypatch):
    """Replace drawing, which is slow, by a constant image."""
    svg = b'<svg viewBox="0 0 1 1"><text id="a">1</text></svg>'
    monkeypatch.setattr(plot, "draw", lambda _: plot.Drawing(svg, b"", frozenset()))


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A report of a store with runs for every section."""
    root = tmp_path_factory.mktemp("whole")
    fill(root)
    return root, *make(root)
