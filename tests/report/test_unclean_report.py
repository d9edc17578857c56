"""Reports of runs with unclean texts and scores; sections that fold, and dashes with a reason."""

import json
import re
from xml.etree import ElementTree

import pytest

from tests.analysis.stores import straight, write
from tests.report.reports import Page, make

ATARI_ONLY = {"games", "summary", "profiles"}


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", 1e308])
def test_a_report_names_a_run_whose_score_no_statistic_can_use(tmp_path, quick, bad):
    write(tmp_path, "good", straight(0, 10))
    write(tmp_path, "bad", [1.0, bad], seed=2)
    report, page = make(tmp_path)
    assert list(report.runs["final"]) == [10.0]
    assert any(note.startswith("bad is excluded from all scores") for note in report.notes)
    assert "bad is excluded from all scores" in page


def test_a_store_without_any_usable_score_makes_a_report_that_says_so(tmp_path, quick):
    for seed in range(1, 8):
        write(tmp_path, f"bad-{seed}", ["NaN"], seed=seed)
    report, _ = make(tmp_path)
    assert report.runs.empty
    assert "So are 2 more runs, listed at the end of the page." in report.notes


def test_labels_of_any_characters_are_drawn_in_valid_pictures(tmp_path):
    labels = ["_hidden", "$a_b^{", "<b>&amp;", "\x1b[31m\x00", "\udce9", "=1", "-->"]
    for threads, _ in enumerate(labels, 1):
        write(tmp_path, f"run-{threads}", straight(0, 10), threads=threads)
    _, page = make(tmp_path, compare=tuple(f"{label}: threads={i}" for i, label in enumerate(labels, 1)))
    picture = next((tmp_path / "report" / "figures").glob("score-frames-1-*.svg")).read_text()
    words = "".join(ElementTree.fromstring(picture).itertext())
    assert all(label in words for label in [*labels[:3], r"\u001b[31m\u0000", r"\udce9", *labels[5:]])
    assert not re.search("[\x00-\x08\x1b\x7f]", page)
    Page(page)


def test_a_report_without_atari_runs_folds_the_sections_of_atari(tmp_path, quick):
    write(tmp_path, "cart", straight(9, 99), env="CartPole-v1", protocol="gymnasium")
    report, page = make(tmp_path)
    assert {section.name for section in report.sections if section.is_empty} >= ATARI_ONLY | {"speed-ups"}
    shown, folded = page.split("<details>")
    assert [name for name in ATARI_ONLY if f'id="{name}"' in shown] == []
    assert all(f'<h2 id="{name}">' in folded for name in ATARI_ONLY)


def test_a_report_with_runs_for_nearly_all_sections_folds_the_rest(whole):
    folded = whole[2].split("<details>")[1].split("</details>")[0]
    assert re.findall(r'<h2 id="([^"]+)"', folded) == ["best"]


def test_a_dash_has_its_reason_in_a_title_and_below_the_table(tmp_path, quick):
    write(tmp_path, "reached", straight(-20, 1), threads=1)
    write(tmp_path, "never", straight(-20, -10), threads=2)
    _, page = make(tmp_path, references=("pong=0",))
    dashes = re.findall(r"<td[^>]*>–</td>", page)
    assert dashes
    assert all(re.search(r'title="[^"]{10,}"', dash) for dash in dashes)
    assert "A dash means: median time: half of the runs or more did not reach the score" in page


@pytest.mark.parametrize(
    ("idle", "reference"), [([-20.0] * 10, 1.0), (straight(-20, -5), -5.0), (straight(-20, 1), 1.0)]
)
def test_the_automatic_reference_score_is_the_lowest_level_of_what_learned(tmp_path, quick, idle, reference):
    write(tmp_path, "learns", straight(-20, 1), threads=1)
    write(tmp_path, "other", idle, threads=2)
    report, _ = make(tmp_path)
    reaching = next(section.table.data for section in report.sections if section.name == "reaching")
    assert set(reaching["reference_score"]) == {reference}


def test_unclean_texts_of_a_document_make_a_readable_report(tmp_path, quick):
    run = write(tmp_path, "one", straight(0, 10))
    document = json.loads((run / "run.json").read_text())
    document["provenance"] |= {"cpu": "C\ud800P\x1b[0m\x00U", "commit": "=1\x07"}
    document |= {"status": "failed", "reason": "z" * 1_000_000}
    (run / "run.json").write_text(json.dumps(document))
    _, page = make(tmp_path)
    assert r"C\ud800P\u001b[0m\u0000U" in page
    assert len(page) < 200_000
    assert (tmp_path / "report" / "tables" / "runs.csv").stat().st_size < 20_000
