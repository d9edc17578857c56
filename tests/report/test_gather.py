"""The content of a report: sections, notes, and references."""

import pytest

from asyncrl.errors import InputError
from asyncrl.report.gather import terminal_rows
from tests.analysis.stores import straight, write
from tests.report.reports import make


def test_terminal_rows_have_every_evaluated_run(whole):
    found = terminal_rows(whole[1])
    assert len(found) == 12
    assert found[0]["task"] == "CartPole-v1"
    assert len(found[0]["curve"]) == 10


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
    assert figure.spec.x.label == f"{unit} of training"
    assert figure.data["x"].max() == pytest.approx(1_000_000 / fps / seconds)


def test_tables_of_few_runs_have_the_warning_too(tmp_path, quick):
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
    assert report.notes[0] == "No run of the selection has finished: all numbers are preliminary."
    assert report.notes[0] in page


def test_a_run_that_was_never_evaluated_makes_a_report(tmp_path, quick):
    write(tmp_path, "blind")
    report, page = make(tmp_path)
    assert report.runs.empty
    assert "it has no evaluation" in page


def test_damaged_runs_alone_make_a_report_that_names_them(tmp_path, quick):
    (write(tmp_path, "broken", [1.0]) / "run.json").write_text("{")
    assert "broken" in make(tmp_path)[1]


def test_two_protocols_of_a_game_are_separate_and_noted(tmp_path, quick):
    write(tmp_path, "paper", straight(-20, 5))
    write(tmp_path, "sticky", straight(-20, 5), atari={"protocol": "sticky"}, protocol="atari-sticky-noop")
    report, _ = make(tmp_path)
    assert "pong has runs with several protocols: atari-paper-noop, atari-sticky-noop" in report.notes[0]
    frames = next(section.figure for section in report.sections if section.name == "score-frames").data
    assert set(frames["panel"]) == {"pong, atari-paper-noop", "pong, atari-sticky-noop"}


def test_settings_that_differ_in_a_set_are_named_first(tmp_path, quick):
    for seed, entropy in ((1, 0.01), (2, 0.1)):
        write(tmp_path, f"{seed}", straight(-20, 5), seed=seed, entropy=entropy)
    report, _ = make(tmp_path, compare=("mine: algo=a3c",))
    assert report.notes[0] == "Runs of a set differ in more than their seed: in entropy."


def test_unknown_game_is_shown_with_a_note_on_missing_references(tmp_path, quick):
    write(tmp_path, "one", straight(0, 5), env="tetris")
    report, page = make(tmp_path)
    assert "tetris (atari-paper-noop) has no published references" in report.notes[0]
    assert "tetris, atari-paper-noop" in page


def test_reference_scores_are_parsed_and_invalid_ones_raise_an_error(tmp_path, quick):
    for threads in (1, 2):
        write(tmp_path, f"{threads}", [-10.0, 10.0], threads=threads, fps=100.0 * threads)
    report, _ = make(tmp_path, references=("Pong=-5",))
    reaching = next(section.table for section in report.sections if section.name == "reaching")
    assert set(reaching.data["reference_score"]) == {-5.0}
    assert "--reference Pong=-5" in report.provenance["Command"]
    for wrong, message in (
        ("pong", "GAME=SCORE"),
        ("pong=high", "GAME=SCORE"),
        ("pomg=1", "no run has game 'pomg'.* Did you mean 'pong'"),
    ):
        with pytest.raises(InputError, match=message):
            make(tmp_path, references=(wrong,))
