"""The files of a report that has data for every section."""

import re

from tests.report.reports import Page


def test_every_section_that_the_data_allow_is_made(whole):
    root, report, page = whole
    empty = {section.name for section in report.sections if section.figure and section.figure.data.empty}
    assert empty == set()
    figures = {section.figure.name for section in report.sections if section.figure}
    for name in figures:
        assert (root / "report" / "figures" / f"{name}.csv").stat().st_size > 50
        assert list((root / "report" / "figures").glob(f"{name}-1-*.svg"))
        assert list((root / "report" / "figures").glob(f"{name}-1-*.png"))
    for section in report.sections:
        assert not section.table or (root / "report" / "tables" / f"{section.table.name}.csv").exists()
        assert f'id="{section.name}"' in page


def test_a_page_needs_no_network_and_no_other_file(whole):
    found = Page(whole[2])
    outside = [link for link in found.links if not link.startswith(("#", "data:"))]
    assert outside == []
    assert "default-src 'none'" in whole[2]
    assert not {"link", "iframe", "object", "embed"} & set(found.tags) - {"link"}


def test_ids_are_its_own_and_every_reference_has_its_id(whole):
    found = Page(whole[2])
    assert len(found.ids) == len(set(found.ids))
    wanted = {link[1:] for link in found.links if link.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", whole[2]))
    assert wanted <= set(found.ids)


def test_a_page_says_how_it_was_made(whole):
    root, report, page = whole
    assert f"asyncrl report --results {root} --out {root / 'report'}" in page
    assert "12 in the selection, 12 used" in page
    assert "torch 2.13.0" in page
    assert "A CPU, 2 cores" in page
    assert "pandas" in report.provenance["Report made with"]


def test_a_paragraph_under_each_figure_says_how_many_runs_which_protocol_and_which_cores(whole):
    for section in whole[1].sections:
        if section.figure:
            text = section.figure.text
            assert "atari-paper-noop, gymnasium" in text
            assert "A CPU, 2 cores" in text
            assert "annot" in text, section.name  # what it cannot show
            assert re.search(r"\bn = \d|a point per run|median over runs|numbers of runs", text), section.name


def test_the_markdown_has_the_same_sections_and_its_pictures_exist(whole):
    root, report, _ = whole
    text = (root / "report" / "report.md").read_text()
    assert [line[3:].replace("\\", "") for line in text.splitlines() if line.startswith("## ")] == [
        section.title for section in report.sections
    ]
    files = re.findall(r"\]\(([^)]+)\)", text)
    assert len(files) > 25
    assert all((root / "report" / file).exists() for file in files)


def test_tables_sort_by_numbers_not_by_their_words(whole):
    assert re.search(r'<td class="number" data-key="400000\.0">400k</td>', whole[2])
