"""The numbers of the documents that come from published runs are those of the data."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs/make_results.py"


@pytest.fixture(scope="module")
def results():
    """Return the module that fills the documents."""
    spec = importlib.util.spec_from_file_location("make_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documents_have_the_numbers_of_the_published_runs(results, capsys):
    assert results.main(["--check"]) == 0, capsys.readouterr().out


def test_page_with_another_number_or_without_a_row_is_found_and_filled(results, tmp_path, monkeypatch, capsys):
    text = (SCRIPT.parent / "scaling.md").read_text()
    rows = [line for line in text.splitlines(keepends=True) if line.startswith("| a3c, optimizer.eps 0.1")]
    assert len(rows) == 2
    page = tmp_path / "page.md"
    page.write_text(text.replace("7.21 [", "7.22 [").replace(rows[0], ""))
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "PAGES", (page,))
    assert results.main(["--check"]) == 1
    assert "page.md: its numbers are not those of the data" in capsys.readouterr().out
    assert results.fill(page, draw=False) == text
