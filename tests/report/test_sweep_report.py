"""Reports and exports of sweeps, through the command line."""

import shutil

import pytest
from typer.testing import CliRunner

from asyncrl.cli.app import app
from tests.analysis.stores import straight, write


@pytest.fixture
def root(tmp_path):
    """Return a directory with a run, and two sweeps that share the name of a cell."""
    results = tmp_path / "results"
    write(results, "alone", straight(-21, 3), seed=9)
    for sweep, high in (("rates", 5), ("other", 7)):
        for t_max in (2, 5, 20):
            seed = 1 + (sweep == "other")
            write(results / sweep, f"cell-{t_max}", straight(-21, high + t_max), t_max=t_max, seed=seed)
        (results / sweep / "sweep.toml").write_text("")
        (results / sweep / "lock").write_text("")
        (results / sweep / "logs").mkdir()
    return results


def call(root, *arguments):
    return CliRunner().invoke(app, [*arguments, "--results", str(root)])


def test_report_of_a_sweep_is_written_into_it_and_has_its_runs(root, quick):
    found = call(root, "report", "sweep:rates")
    assert found.exit_code == 0, found.output
    page = (root / "rates" / "report" / "report.html").read_text()
    assert "3 in the selection, 3 used" in page
    assert "Score against t_max" in page
    assert "a3c, t_max 20" in page
    # The report is no run of the sweep.
    assert call(root, "report", "sweep:rates").exit_code == 0


def test_export_of_two_sweeps_and_a_run_tells_equal_names_apart(root, tmp_path):
    found = call(
        root, "export", "sweep:rates", "sweep:other", "alone", "--format", "csv", "--out", str(tmp_path / "out")
    )
    assert found.exit_code == 0, found.output
    text = (tmp_path / "out" / "runs.csv").read_text()
    names = sorted(line.split(",")[0] for line in text.splitlines()[1:])
    assert names == ["alone", *sorted(f"{sweep}/cell-{t}" for sweep in ("rates", "other") for t in (2, 5, 20))]


def test_export_without_names_reads_no_sweep_and_lists_none_as_damaged(root, tmp_path):
    call(root, "export", "--format", "csv", "--out", str(tmp_path / "out"))
    lines = (tmp_path / "out" / "runs.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["alone"]
    assert len((tmp_path / "out" / "problems.csv").read_text().splitlines()) == 1


def test_report_of_an_unknown_sweep_fails_with_the_nearest_name(root):
    found = call(root, "report", "sweep:ratez")
    assert found.exit_code != 0
    assert "There is no sweep 'ratez'" in str(found.exception)
    assert "Did you mean 'rates'?" in str(found.exception)


def test_report_with_many_lines_in_a_panel_draws_ten_and_counts_the_others(tmp_path, quick):
    for threads in range(1, 14):
        write(tmp_path, f"{threads:02}", straight(-21, threads), threads=threads)
    found = call(tmp_path, "report", *(f"--compare=set {i:02}: threads={i}" for i in range(1, 14)))
    assert found.exit_code == 0, found.output
    page = (tmp_path / "report" / "report.html").read_text()
    assert "in each panel the 10 series that end highest, without 3 others; the CSV has all." in page
    lines = (tmp_path / "report" / "figures" / "score-frames.csv").read_text()
    assert "set 01" in lines


def test_report_into_a_sweep_fails_and_writes_nothing(root, quick):
    found = call(root, "report", "sweep:rates", "--out", str(root / "rates"))
    assert "is a sweep" in str(found.exception)
    assert not (root / "rates" / "report.html").exists()


def test_report_of_a_directory_with_sweeps_alone_fails_with_their_names(root):
    shutil.rmtree(root / "alone")
    assert "sweep:other, sweep:rates" in str(call(root, "report").exception)
