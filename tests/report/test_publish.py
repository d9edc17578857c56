"""Files of a report: escaping, old files, and commands."""

import json
import re

import pytest

from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.report.gather import Request, gather
from asyncrl.report.publish import publish
from tests.analysis.stores import straight, write
from tests.report.reports import Page, make

EVIL = "<script>alert('x')</script> $a_b$ | & \"q\""


def test_a_report_is_the_same_twice_but_for_its_time(tmp_path):
    write(tmp_path, "one", straight(-20, 5))
    write(tmp_path, "two", straight(-20, 6), seed=2)
    pages = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", make(tmp_path)[1]) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("place", ["label", "env", "reason", "cpu"])
def test_texts_from_runs_are_escaped_in_all_files(tmp_path, place, request):
    if place != "label":
        request.getfixturevalue("quick")
    run = write(tmp_path, "one", straight(-20, 5), protocol="gymnasium", env="CartPole-v1")
    document = json.loads((run / "run.json").read_text())
    if place == "env":
        document["config"]["env"] = EVIL
    elif place == "cpu":
        document["provenance"]["cpu"] = EVIL
    elif place == "reason":
        document |= {"status": "failed", "reason": EVIL}
    (run / "run.json").write_text(json.dumps(document))
    compare = (f"{EVIL}: threads=2",) if place == "label" else ()
    _, page = make(tmp_path, compare=compare)
    assert "<script>alert" not in page
    assert Page(page).tags.count("script") == 1
    markdown = (tmp_path / "report" / "report.md").read_text()
    assert "<script>alert" not in re.sub("`.*`", "", markdown)  # what is quoted as code is text
    for svg in (tmp_path / "report" / "figures").glob("*.svg"):
        assert "<script>alert" not in svg.read_text()


def test_an_earlier_report_leaves_no_figure_or_table_behind(tmp_path, quick):
    write(tmp_path, "one", straight(-20, 5))
    write(tmp_path, "two", straight(-20, 5), env="breakout")
    make(tmp_path)
    before = {path.name for path in (tmp_path / "report").rglob("*-breakout-*")}
    (tmp_path / "report" / "tables" / "problems.csv").write_text("old")
    (tmp_path / "report" / "mine.csv").write_text("mine")
    make(tmp_path, where="env=pong")
    assert before
    assert not list((tmp_path / "report").rglob("*-breakout-*"))
    assert {path.name for path in (tmp_path / "report").rglob("*.csv")} & {"problems.csv", "mine.csv"} == {"mine.csv"}


def test_files_beside_a_page_of_others_stay(tmp_path, quick):
    write(tmp_path, "one", straight(-20, 5))
    (tmp_path / "report" / "figures").mkdir(parents=True)
    (tmp_path / "report" / "report.html").write_text("<title>mine</title>")
    (tmp_path / "report" / "figures" / "mine.png").write_text("mine")
    make(tmp_path)
    assert (tmp_path / "report" / "figures" / "mine.png").exists()


def test_a_command_stands_in_markdown_as_it_is_typed(tmp_path, quick):
    write(tmp_path, "one", straight(-20, 5), threads=4)
    make(tmp_path, where="threads>=2 and algo=a3c")
    text = (tmp_path / "report" / "report.md").read_text()
    assert "- **Command:** `asyncrl report --where 'threads>=2 and algo=a3c' " in text


def test_a_report_is_not_written_into_a_run_or_over_a_file(tmp_path, quick):
    run = write(tmp_path, "one", [1.0])
    found = gather(Request(Selection(tmp_path), run))
    with pytest.raises(InputError, match="is a run"):
        publish(found)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to"):
        publish(gather(Request(Selection(tmp_path), tmp_path / "file")))


def test_recorded_episode_is_embedded_in_the_page(tmp_path, quick):
    run = write(tmp_path, "one", [1.0])
    (run / "best.gif").write_bytes(b"GIF89a")
    (run / "last.mp4").write_bytes(b"\0" * 5_000_000)  # too large for a page
    page = make(tmp_path)[1]
    assert 'src="data:image/gif;base64,R0lGODlh"' in page
    assert "video/mp4" not in page
