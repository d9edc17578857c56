import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

from asyncrl.analysis.selection import Selection
from asyncrl.errors import InputError
from asyncrl.report import plot
from asyncrl.report.gather import Request, gather, lines
from asyncrl.report.publish import publish
from tests.analysis.stores import straight, write

EVIL = "<script>alert('x')</script> $a_b$ | & \"q\""


def make(root, **more):
    selection = {name: more.pop(name) for name in ("names", "where", "compare") if name in more}
    report = gather(Request(Selection(root, **selection), root / "report", **more))
    return report, publish(report).read_text(encoding="utf-8")


def fill(root):
    """Write runs for every section: games, algorithms, threads, seeds, rates and optimisers."""
    for algo, threads, seed in product(("a3c", "n-step-q"), (1, 2), (1, 2)):
        name = f"{algo}-{threads}-{seed}"
        write(
            root, name, straight(-20, seed), fps=100.0 * threads, frames=400_000, algo=algo, threads=threads, seed=seed
        )
    write(root, "cart", straight(9, 99), env="CartPole-v1", protocol="gymnasium", frames=400_000, fps=200.0)
    for lr in (1e-4, 1e-3):
        write(root, f"lr-{lr}", straight(-20, 1), lr=lr, frames=400_000, fps=200.0)
    write(root, "momentum", straight(-20, 1), optimizer="momentum", frames=400_000, fps=200.0)


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A report of a store with runs for every section."""
    root = tmp_path_factory.mktemp("whole")
    fill(root)
    return root, *make(root)


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
    assert "pandas" in report.facts["Report made with"]


def test_a_paragraph_under_each_figure_says_how_many_runs_which_protocol_and_which_cores(whole):
    for section in whole[1].sections:
        if section.figure:
            text = section.figure.text
            assert "atari-paper-noop, gymnasium" in text
            assert "A CPU, 2 cores" in text
            assert "annot" in text, section.name  # what it cannot show
            assert re.search(r"\bn = \d|a point a run|median over runs|numbers of runs", text), section.name


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


def test_a_report_is_the_same_twice_but_for_its_time(tmp_path):
    write(tmp_path, "one", straight(-20, 5))
    write(tmp_path, "two", straight(-20, 6), seed=2)
    pages = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", make(tmp_path)[1]) for _ in range(2)]
    assert pages[0] == pages[1]


def test_lines_for_a_terminal_have_every_evaluated_run(whole):
    found = lines(whole[1])
    assert len(found) == 12
    assert found[0]["task"] == "CartPole-v1"
    assert len(found[0]["curve"]) == 10


@pytest.fixture
def quick(monkeypatch):
    """Spare the time that drawing takes."""
    svg = b'<svg viewBox="0 0 1 1"><text id="a">1</text></svg>'
    monkeypatch.setattr(plot, "draw", lambda _: plot.Drawing(svg, b"", frozenset()))


@pytest.mark.parametrize("place", ["label", "env", "reason", "cpu"])
def test_texts_of_others_are_escaped_everywhere(tmp_path, place, request):
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


def test_a_cell_of_fewer_games_than_its_row_says_so(tmp_path, quick):
    for env, counts in (("pong", (1, 2, 4)), ("breakout", (1, 2))):
        for threads in counts:
            name, fps = f"{env}-{threads}", 100.0 * threads
            write(tmp_path, name, [-10.0, 10.0], env=env, threads=threads, fps=fps)
    report, _ = make(tmp_path, references=("pong=0", "Breakout=0"))
    table = next(section.table for section in report.sections if section.name == "speed-ups")
    row = [cell.text for cell in table.rows[0]]
    assert row[table.header.index("2 threads")] == "2.00"
    assert row[table.header.index("4 threads")] == "4.00 (1)"
    assert set(table.data.query("variant == 'a3c' and threads == 4")["games"]) == {1}


@pytest.mark.parametrize(("fps", "unit"), [(10.0, "hours"), (1_000.0, "minutes"), (20_000.0, "seconds")])
def test_time_is_in_a_unit_that_the_runs_fill(tmp_path, quick, fps, unit):
    write(tmp_path, "one", straight(-20, 5), fps=fps)
    figure = next(section.figure for section in make(tmp_path)[0].sections if section.name == "score-hours")
    seconds = {"hours": 3600, "minutes": 60, "seconds": 1}[unit]
    assert figure.picture.x.label == f"{unit} of training"
    assert figure.data["x"].max() == pytest.approx(1_000_000 / fps / seconds)


def test_few_runs_are_said_to_be_few_under_tables_too(tmp_path, quick):
    for seed in range(5):
        write(tmp_path, f"{seed}", straight(-20, seed), seed=seed)
    texts = [make(tmp_path, where=where)[0].sections[0].table.text for where in (None, "seed<4")]
    assert ["fewer than 5 runs" in text for text in texts] == [False, True]


def test_an_empty_store_is_one_line(tmp_path, quick):
    with pytest.raises(InputError, match="There are no runs in"):
        make(tmp_path)


def test_a_selection_of_nothing_is_one_line(tmp_path, quick):
    write(tmp_path, "one", [1.0])
    with pytest.raises(InputError, match="has threads=99"):
        make(tmp_path, where="threads=99")


def test_one_run_makes_a_report_with_no_intervals_and_the_commands_for_the_rest(tmp_path, quick):
    write(tmp_path, "one", straight(-20, 5))
    report, page = make(tmp_path)
    overview = next(section.table for section in report.sections if section.name == "overview")
    assert [cell.text for cell in overview.rows[0]][3] == "5"
    assert "for n in 1 2 4; do asyncrl run" in page
    assert "No runs for this yet" in page
    assert "With fewer than 5 runs" in page


def test_a_live_run_alone_makes_a_report_that_says_so(tmp_path, quick):
    run = write(tmp_path, "live", straight(-20, 5), status="running")
    with (run / "evaluations.jsonl").open("a") as file:
        file.write('{"frames": 1234')
    report, page = make(tmp_path)
    assert report.notes[0] == "No run of the selection has finished: every number is of the moment."
    assert report.notes[0] in page


def test_a_run_that_was_never_evaluated_makes_a_report(tmp_path, quick):
    write(tmp_path, "blind")
    report, page = make(tmp_path)
    assert report.runs.empty
    assert "it was never evaluated" in page


def test_damaged_runs_alone_make_a_report_that_names_them(tmp_path, quick):
    (write(tmp_path, "broken", [1.0]) / "run.json").write_text("{")
    assert "broken" in make(tmp_path)[1]


def test_two_protocols_are_kept_apart_and_said(tmp_path, quick):
    write(tmp_path, "paper", straight(-20, 5))
    write(tmp_path, "sticky", straight(-20, 5), atari={"protocol": "sticky"}, protocol="atari-sticky-noop")
    report, _ = make(tmp_path)
    assert "pong was played under several protocols: atari-paper-noop, atari-sticky-noop" in report.notes[0]
    frames = next(section.figure for section in report.sections if section.name == "score-frames").data
    assert set(frames["panel"]) == {"pong, atari-paper-noop", "pong, atari-sticky-noop"}


def test_settings_that_differ_under_one_name_are_named_first(tmp_path, quick):
    for seed, entropy in ((1, 0.01), (2, 0.1)):
        write(tmp_path, f"{seed}", straight(-20, 5), seed=seed, entropy=entropy)
    assert make(tmp_path)[0].notes[0].endswith("more than their seed, namely in entropy.")


def test_an_unknown_game_is_shown_and_said_to_have_no_references(tmp_path, quick):
    write(tmp_path, "one", straight(0, 5), env="tetris")
    report, page = make(tmp_path)
    assert "tetris (atari-paper-noop) has no published references" in report.notes[0]
    assert "tetris, atari-paper-noop" in page


def test_reference_scores_are_read_and_misread_ones_refused(tmp_path, quick):
    for threads in (1, 2):
        write(tmp_path, f"{threads}", [-10.0, 10.0], threads=threads, fps=100.0 * threads)
    report, _ = make(tmp_path, references=("Pong=-5",))
    reaching = next(section.table for section in report.sections if section.name == "reaching")
    assert set(reaching.data["reference_score"]) == {-5.0}
    assert "--reference Pong=-5" in report.facts["Command"]
    for wrong, message in (
        ("pong", "GAME=SCORE"),
        ("pong=high", "GAME=SCORE"),
        ("pomg=1", "no run plays 'pomg'.* Did you mean 'pong'"),
    ):
        with pytest.raises(InputError, match=message):
            make(tmp_path, references=(wrong,))


def test_a_report_is_not_written_into_a_run_or_over_a_file(tmp_path, quick):
    run = write(tmp_path, "one", [1.0])
    found = gather(Request(Selection(tmp_path), run))
    with pytest.raises(InputError, match="is a run"):
        publish(found)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to"):
        publish(gather(Request(Selection(tmp_path), tmp_path / "file")))


def test_a_recorded_game_is_in_the_page(tmp_path, quick):
    run = write(tmp_path, "one", [1.0])
    (run / "best.gif").write_bytes(b"GIF89a")
    (run / "last.mp4").write_bytes(b"\0" * 5_000_000)  # too large for a page
    page = make(tmp_path)[1]
    assert 'src="data:image/gif;base64,R0lGODlh"' in page
    assert "video/mp4" not in page


def imports(folder, arguments, code, forbidden):
    """Run a command in a folder, which must end with an exit code without importing some packages."""
    text = f"""
import sys
from asyncrl.cli.app import main
try:
    main({arguments})
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
assert not {forbidden} & sys.modules.keys()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "100"}
    environment.pop("ASYNCRL_RESULTS", None)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=100, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_mistake_is_answered_without_waiting_for_what_draws(tmp_path):
    write(tmp_path / "results", "one", straight(-20, 5))
    for mistake in (["--where", "threads>99"], ["--reference", "pomg=1"]):
        imports(tmp_path, ["report", *mistake], 2, {"seaborn", "matplotlib", "scipy", "torch"})


def test_a_report_needs_no_torch(tmp_path):
    write(tmp_path / "results", "one", straight(-20, 5))
    done = imports(tmp_path, ["report"], 0, {"torch", "gymnasium", "ale_py"})
    assert "The report is in results/report/report.html" in done.stdout
    assert Path(tmp_path / "results" / "report" / "report.md").exists()
