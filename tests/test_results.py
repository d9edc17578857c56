"""The numbers of the documents that come from published runs are those of the data."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs/make_results.py"
JITTER = "small-jitter | reaching | rows: method | columns: threads | cell: data efficiency"


@pytest.fixture(scope="module")
def results():
    """Return the module that fills the documents."""
    spec = importlib.util.spec_from_file_location("make_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def main(results, tmp_path, monkeypatch):
    """Return a function that fills or checks ``page.md`` alone."""
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "PAGES", (tmp_path / "page.md",))
    return results.main


def test_documents_have_the_numbers_of_the_published_runs(results, capsys):
    assert results.main(["--check"]) == 0, capsys.readouterr()


def test_page_with_another_number_or_without_a_row_is_found_and_filled(main, tmp_path, capsys):
    text = (SCRIPT.parent / "scaling.md").read_text()
    _, comment, rest = text.partition(f"<!-- results: {JITTER} -->\n")
    table = comment + "".join(line for line in rest.splitlines(keepends=True)[:8])
    rows = [line for line in table.splitlines(keepends=True) if line.startswith("| a3c")]
    assert len(rows) == 3
    assert table.count("0.63 [") == 1
    page = tmp_path / "page.md"
    page.write_text(table.replace("0.63 [", "0.64 [").replace(rows[0], ""))
    assert main(["--check"]) == 1
    assert capsys.readouterr().out == "page.md: its numbers are not those of the data\n"
    assert main([]) == 0
    assert capsys.readouterr().out == "filled page.md\n"
    assert page.read_text() == table
    assert main(["--check"]) == 0


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        (f"<!-- results: {JITTER} --> and more", "page.md: each <!-- results: … --> must be a line of its own"),
        (f"<!-- results: {JITTER}\n-->", "page.md: each <!-- results: … --> must be a line of its own"),
        ("<!-- results: no-sweep | reaching | show: a -->", "there is no directory no-sweep in results/published"),
        ("<!-- results: small-jitter | reachin | show: a -->", "there is no table 'reachin', only "),
        ("<!-- results: small-jitter | reaching | show: a -->", "there is no column 'a', only "),
        ("<!-- results: small-jitter | reaching | rows: method -->", "a table needs show, or rows, columns and cell"),
        ("<!-- results: small-jitter | reaching | show=method -->", "a table needs show, or rows, columns and cell"),
        (
            "<!-- results: small-jitter | reaching | rows: threads | columns: threads | cell: method -->",
            "two rows have threads 1 and threads 1",
        ),
        ("<!-- results: small-jitter | figure.svg -->", "no image follows"),
    ],
)
def test_page_with_a_wrong_comment_is_one_line_and_stays(main, comment, message, tmp_path, capsys):
    page, text = tmp_path / "page.md", f"# Page\n\n{comment}\n| old |\n"
    page.write_text(text)
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (err.count("\n"), out, page.read_text()) == (1, "", text)


def test_results_with_a_misspelt_option_writes_nothing(main, tmp_path):
    with pytest.raises(SystemExit) as end:
        main(["--chek"])
    assert end.value.code == 2
