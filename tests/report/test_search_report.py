"""The section of a search in the report of its sweep, from studies of known trials."""

import os
import sqlite3
import sys

import optuna
import pytest
from typer.testing import CliRunner

from asyncrl.analysis.selection import Selection
from asyncrl.cli.app import app
from asyncrl.report.gather import Request, gather
from tests.report.searches import KINDS, confirm, make_search
from tests.report.test_startup import run_without_imports


def report(results, *names):
    found = CliRunner().invoke(app, ["report", *(names or ["sweep:search"]), "--results", str(results)])
    assert found.exit_code == 0, found.output
    return found.output


def gathered(results, *names):
    return gather(Request(Selection(results, names or ("sweep:search",)), results / "report"))


def search_sections(report):
    return [section for section in report.sections if section.search]


def test_report_of_a_search_shows_its_plots_and_best_trials_without_torch(tmp_path):
    sweep = make_search(tmp_path / "results")
    confirm(tmp_path / "results")
    before = (sweep / "study.db").read_bytes()
    run_without_imports(tmp_path, ["report", "sweep:search"], 0, {"torch", "gymnasium", "ale_py"})
    assert (sweep / "study.db").read_bytes() == before
    figures = sorted(file.name for file in (sweep / "report" / "figures").glob("search-*.svg"))
    assert figures == [
        "search-1-importance-of-settings.svg",
        "search-2-history-of-values.svg",
        "search-3-parallel-coordinates.svg",
        "search-4-slice-optimizer-lr.svg",
        "search-5-slice-t-max-envs-per-thread.svg",
        "search-6-slice-gamma.svg",
    ]
    for name in figures:
        assert (sweep / "report" / "figures" / name).with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    slices = (sweep / "report" / "figures" / figures[4]).read_text()
    assert ">10, 4<" in slices
    assert ">t_max, envs_per_thread<" in slices
    assert "mathdefault" not in (sweep / "report" / "figures" / figures[3]).read_text()
    page = (sweep / "report" / "report.html").read_text()
    assert "<h2>Search</h2>" in page
    assert "16 trials of the search" in page
    assert "1 trial without a finite value is left out" in page
    # The best trial, with the mean of its two finished runs on fresh seeds.
    rows = (sweep / "report" / "tables" / "search-best.csv").read_text().splitlines()
    assert len(rows) == 11
    assert rows[1] == "11,11.0,6.0,2.0,0.003,20,2,0.9"
    assert "mean over fresh seeds" in page


def test_report_of_a_search_without_confirmation_has_no_column_for_it(tmp_path):
    make_search(tmp_path)
    (section,) = search_sections(gathered(tmp_path))
    assert section.table.header == ["trial", "value", "optimizer.lr", "t_max", "envs_per_thread", "gamma"]
    assert [row[0].text for row in section.table.rows] == ["11", "12", "13", "14", "15", "10", "9", "8", "7", "6"]


def test_report_of_a_search_marks_trials_that_were_stopped_early(tmp_path):
    make_search(tmp_path, trials=5)
    (section,) = search_sections(gathered(tmp_path))
    stopped = section.table.header.index("stopped early")
    assert [(row[0].text, row[stopped].text) for row in section.table.rows][:2] == [("4", "no"), ("3", "yes")]


@pytest.mark.parametrize(
    ("trials", "names", "reasons"),
    [
        (1, tuple(KINDS), {"Importance of settings": "5 trials", "Slice: gamma": "2 trials"}),
        (9, ("gamma",), {"Importance of settings": "2 settings", "Parallel coordinates": "2 settings"}),
    ],
)
def test_plot_that_a_small_study_does_not_allow_is_replaced_by_its_reason(trials, names, reasons, tmp_path, quick):
    sweep = make_search(tmp_path, trials, names=names)
    report(tmp_path)
    page = (sweep / "report" / "report.html").read_text()
    markdown = (sweep / "report" / "report.md").read_text()
    for title, reason in reasons.items():
        for text in (page, markdown):
            assert f"{title} is not drawn: it needs {reason}" in text
    assert "History of values is not drawn" not in page
    assert list((sweep / "report" / "figures").glob("search-*-history-of-values.svg"))


def test_plot_that_raises_costs_itself_alone(tmp_path, quick, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("two\nlines")

    sweep = make_search(tmp_path, names=("gamma",))
    monkeypatch.setattr(optuna.visualization.matplotlib, "plot_slice", fail)
    report(tmp_path)
    page = (sweep / "report" / "report.html").read_text()
    assert "Slice: gamma is not drawn: RuntimeError: two lines." in page
    assert list((sweep / "report" / "figures").glob("search-*-history-of-values.svg"))


def empty(study):
    study.write_bytes(b"")


def text(study):
    study.write_text("no database\n" * 1000)


def cut(study):
    study.write_bytes(study.read_bytes()[:50_000])


def fifo(study):
    study.unlink()
    os.mkfifo(study)


def link(study):
    study.rename(study.with_name("elsewhere"))
    study.symlink_to("elsewhere")


def execute(study, *statements):
    database = sqlite3.connect(study)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def version(study):
    execute(study, "UPDATE version_info SET schema_version = 1", "UPDATE alembic_version SET version_num = 'v0.9'")


def minimise(study):
    execute(study, "UPDATE study_directions SET direction = 'MINIMIZE'")


def parameter(study):
    execute(study, "UPDATE trial_params SET distribution_json = '[1]'")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (empty, "it has no tables of Optuna"),
        (text, "file is not a database"),
        (cut, "malformed"),
        (fifo, "it is a FIFO, not a file"),
        (link, "it is a link, not a file"),
        (version, "no longer compatible"),
        (minimise, "does not maximise one value"),
        (parameter, "Error"),
    ],
)
def test_damaged_study_costs_the_section_of_the_search_alone(damage, reason, tmp_path):
    damage(make_search(tmp_path) / "study.db")
    found = gathered(tmp_path)
    assert not search_sections(found)
    assert found.sections[0].name == "overview"
    (note,) = [note for note in found.notes if "search" in note]
    assert note.startswith(f"The search in {tmp_path}/search is not shown: study.db cannot be used: ")
    assert reason in note
    assert "\n" not in note


def test_study_without_finished_trials_is_named_in_the_report(tmp_path, quick):
    make_search(tmp_path, trials=0)
    assert "study.db cannot be used: it has no finished trial" in " ".join(report(tmp_path).split())


def test_report_without_optuna_names_the_extra_on_one_line(tmp_path, monkeypatch):
    make_search(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    found = gathered(tmp_path)
    assert not search_sections(found)
    (note,) = [note for note in found.notes if "optuna" in note]
    assert note.endswith("is not shown: it needs optuna: pip install 'asyncrl[sweeps]'.")


def test_damaged_file_of_the_sweep_costs_the_means_over_fresh_seeds_alone(tmp_path):
    sweep = make_search(tmp_path)
    confirm(tmp_path)
    (sweep / "sweep.toml").write_text("[sweep")
    (section,) = search_sections(gathered(tmp_path))
    assert "Means over fresh seeds are not shown: " in section.search.text
    assert len(section.table.rows) == 10


def test_report_of_two_searches_has_a_section_for_each(tmp_path, quick):
    make_search(tmp_path, trials=1)
    make_search(tmp_path, trials=1, name="more")
    report(tmp_path, "sweep:search", "sweep:more", "sweep:search")
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<h2>Search: ") == 2
    assert page.index("<h2>Search: search") < page.index("<h2>Search: more")
    assert (tmp_path / "report" / "figures" / "search-2.csv").exists()


def test_study_of_a_renamed_sweep_is_found(tmp_path):
    make_search(tmp_path, study_name="before")
    assert len(search_sections(gathered(tmp_path))) == 1


def test_texts_of_a_study_are_bounded_and_escaped(tmp_path, quick):
    sweep = make_search(tmp_path, names=("gamma",))
    name = "$x^{$\x1b<b>" + 300 * "n"
    database = sqlite3.connect(sweep / "study.db")
    database.execute("UPDATE trial_params SET param_name = ?", (name,))
    database.commit()
    database.close()
    report(tmp_path)
    page = (sweep / "report" / "report.html").read_text()
    assert "$x^{$\\u001b&lt;b&gt;nnn" in page
    assert 100 * "n" not in page
    assert "is not drawn: it needs 2 settings" in page
    assert page.count("is not drawn") == 2
    assert "\x1b" not in page
