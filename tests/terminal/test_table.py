"""The tables of ls and show at many widths, and in a pipe."""

import re

import pytest
from rich.text import Text

from asyncrl.cli.app import main
from asyncrl.config import RunConfig
from asyncrl.store import summary
from asyncrl.store.rows import Writer
from asyncrl.terminal import rendering
from asyncrl.terminal.console import ENDLESS
from asyncrl.terminal.details import details_page
from asyncrl.terminal.table import Column, lay_out
from tests.past import make_run, write_document
from tests.terminal.test_rendering import render

IDS = ("mine", "pong-a3c-16t-s1-20261127120000-abcd", "montezuma_revenge-one-step-sarsa-16t-s12345-20261101100000-abcd")


@pytest.fixture
def store(tmp_path):
    """Make runs with short and long ids, one that was never evaluated, and one that is damaged."""
    for name in IDS:
        make_run(tmp_path, name, config=RunConfig(env="tests.toys:Corridor", algo="one-step-sarsa", frames=123_456_789))
    write_document(tmp_path, "new", config={"env": "pong"}, status="interrupted")
    (write_document(tmp_path, "broken") / "run.json").write_text("{")
    return tmp_path


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 100, 120, 200])
def test_ls_at_any_width_prints_whole_ids_and_numbers(store, width):
    text = render(rendering.runs_table(summary.summaries(store, None), width), width)
    rows = text.splitlines()
    assert "…" not in text
    for name in IDS:
        (row,) = (i for i, line in enumerate(rows) if line.startswith(name))
        assert re.search(r" 400k .*-11 .*finished", rows[row] + rows[row + 1])
    longest = max(len(line) for line in rows if "under eval" not in line and "damaged:" not in line)
    assert longest <= max(width, len(IDS[-1]), 33)


def test_ls_in_80_columns_explains_dashes_and_statuses(store):
    text = render(rendering.runs_table(summary.summaries(store, None), 80), 80)
    assert "– under eval: no evaluation has ended" in text
    assert "damaged: its files cannot be read:" in text


def test_ls_in_a_pipe_is_one_aligned_line_a_run(store):
    rows = [line.plain for line in rendering.runs_table(summary.summaries(store, None), ENDLESS)]
    assert len(rows) == 1 + len(IDS) + 2
    headers = rows[0].split()
    assert headers == ["run", "env", "algo", "threads", "seed", "frames", "done", "eval", "best", "status", "age"]
    assert {len(row.split()) for row in rows} == {len(headers)}
    assert len({row.index("finished") for row in rows if "finished" in row}) == 1


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_show_at_any_width_prints_whole_numbers(tmp_path, width):
    run = make_run(tmp_path, IDS[-1])
    with Writer(run) as writer:
        row = {
            "frames": 9_999,
            "steps": 2_499,
            "mean": -99_999.0,
            "median": 1e308,
            "std": 12_345.6,
            "episodes": 10,
            "kind": "eval",
        }
        writer.append("evaluations", row | {"protocol": "a-protocol-with-a-rather-long-name"})
    text = render(details_page(summary.details(run), width), width)
    assert "…" not in text
    assert re.search(r"9,999 +-99,999" + (" +12,346" if width > 30 else ""), text)
    assert IDS[-1] in text
    assert str(run) in text


@pytest.mark.parametrize("columns", ["0", "-3", "abc", "99999999999999999999", "1", "", "²"])
def test_absurd_COLUMNS_prints_as_without(store, monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["ls", "--results", str(store)], ["--help"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out = capsys.readouterr().out
        assert not end.value.code
        assert any(word in out for word in (IDS[-1], "Usage: asyncrl"))
        assert max(map(len, out.splitlines())) <= 200


def column(header, cells, rank, **options):
    return Column(header, [Text(cell) for cell in cells], rank, **options)


def test_lay_out_leaves_out_the_column_of_highest_rank_first():
    columns = [column("id", ["ab", "c"], 0), column("x", ["1", "22"], 2, is_right=True), column("y", ["z", "z"], 1)]
    assert [line.plain for line in lay_out(columns, 80)] == ["id   x  y", "ab   1  z", "c   22  z"]
    assert [line.plain for line in lay_out(columns, 8)] == ["id  y", "ab  z", "c   z"]
    assert [line.plain for line in lay_out(columns, 2)] == ["id", "ab", "c"]


def test_lay_out_counts_wide_characters_as_two_columns():
    columns = [column("id", ["パック", "c"], 0), column("x", ["1", "2"], 1)]
    assert [line.plain for line in lay_out(columns, 80)] == ["id      x", "パック  1", "c       2"]


def test_show_lists_what_the_user_set_and_names_the_preset(tmp_path, capsys):
    from asyncrl.training import job_builder

    tables = {
        "a": ({"env": "CartPole-v1"}, "those of the preset paper"),
        "b": ({"env": "CartPole-v1", "preset": "fast", "t_max": 7}, "t_max"),
        "c": ({"env": "Pendulum-v1", "optimizer": {"lr": 0.5}}, "optimizer.lr"),
        "d": ({"env": "pong", "preset": "fast", "algo": "n-step-q", "gamma": 0.5}, "gamma"),
    }
    for name, (table, wanted) in tables.items():
        config, _ = job_builder.resolve(table)
        protocol = "atari-paper-noop" if table["env"] == "pong" else "gymnasium"
        run = write_document(tmp_path, name, config=config.model_dump(mode="json"), protocol=protocol)
        found = summary.details(run)["changed"]
        given = {wanted} if "preset paper" not in wanted else set()
        assert set(found) - {"env", "network", "preset", "algo"} == given
        text = render(details_page(summary.details(run), 80), 80)
        assert f"preset {table.get('preset', 'paper')}" in text
        assert wanted in text
