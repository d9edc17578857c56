import json

import pytest

from asyncrl.store import runs
from tests.past import make_run, write_document

GRID = '[sweep]\nseeds = 3\n[base]\nenv = "pong"\n[vary]\nalgo = ["a3c", "n-step-q"]\nt_max = [5, 10]\n'
CELLS = {"algo=a3c-s1-0a1b2c3d": "finished", "algo=a3c-s2-4e5f6a7b": "failed", "algo=n-step-q-s1-8c9d0e1f": "finished"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNCRL_RESULTS", raising=False)
    root = tmp_path / "results"
    make_run(root, "alone")
    for name, status in CELLS.items():
        make_run(root / "rates", name, status=status)
    (root / "rates" / "sweep.toml").write_text(GRID)
    (root / "rates" / "logs").mkdir()
    return root


@pytest.fixture
def asyncrl(results, command_line):
    return command_line


def test_ls_sweep_in_the_results_is_one_line_beside_the_runs(asyncrl):
    code, out, _ = asyncrl("ls")
    (run,) = [line.split() for line in out.splitlines() if line.startswith("alone")]
    (sweep,) = [line.split() for line in out.splitlines() if line.startswith("rates")]
    assert code == 0
    assert "finished" in run
    assert sweep == ["rates", "grid", "12", "2", "0", "1", "failed", "0min"]
    assert not any(cell in out for cell in CELLS)


def test_ls_json_lists_sweeps_after_the_runs(asyncrl):
    run, sweep = json.loads(asyncrl("ls", "--json")[1])
    assert (run["id"], "kind" in run) == ("alone", False)
    assert {name: sweep[name] for name in ("id", "kind", "finished", "running", "failed", "total")} == {
        "id": "rates", "kind": "grid", "finished": 2, "running": 0, "failed": 1, "total": 12,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "vary", "more", "total"),
    [
        ("", "t_max = [5, 10, 20]", "", 6),
        ("", '"t_max, envs_per_thread" = [[5, 8], [10, 4]]', "", 4),
        ('kind = "random"\nn = 7', 'algo = ["a3c", "a2c"]\ngamma = {low = 0.9, high = 0.99}', "", 28),
        ('kind = "optuna"\nn = 7', 'env = ["pong", "qbert"]\nt_max = [5, 10]', "", 28),
        # The cells that are excluded are not counted without their settings: the directories are.
        ("", "t_max = [5, 10, 20]", "[[exclude]]\nt_max = 5", 3),
    ],
)
def test_ls_sweep_of_each_kind_has_its_declared_number_of_cells(results, asyncrl, kind, vary, more, total):
    (results / "rates" / "sweep.toml").write_text(f"[sweep]\nseeds = 2\n{kind}\n[vary]\n{vary}\n{more}\n")
    assert json.loads(asyncrl("ls", "--json")[1])[1]["total"] == total


def test_ls_name_of_a_sweep_lists_its_cells_as_runs(asyncrl):
    code, out, _ = asyncrl("ls", "rates")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[1:]} == set(CELLS)
    assert [run["id"] for run in json.loads(asyncrl("ls", "ra", "--where", "status=failed", "--json")[1])] == [
        "algo=a3c-s2-4e5f6a7b"
    ]


def test_ls_sweep_that_a_driver_holds_is_running(results, asyncrl):
    with runs.hold(results / "rates"):
        assert json.loads(asyncrl("ls", "--json")[1])[1]["status"] == "running"


def test_ls_sweep_with_a_damaged_cell_counts_it_as_failed(results, asyncrl):
    (results / "rates" / "algo=a3c-s1-0a1b2c3d" / "run.json").write_text("{")
    sweep = json.loads(asyncrl("ls", "--json")[1])[1]
    assert (sweep["finished"], sweep["failed"]) == (1, 2)
    code, out, _ = asyncrl("ls", "rates")
    assert (code, out.count("finished")) == (0, 1)


@pytest.mark.parametrize(
    "text",
    ["[sweep", "[vary]\nnothing = [1]", "a" + ".a" * 1500 + " = 1", "[sweep]\nseeds = 0", "# " + "x" * 2_000_000],
)
def test_ls_damaged_sweep_file_costs_that_line_only(results, asyncrl, text):
    (results / "rates" / "sweep.toml").write_text(text)
    code, out, err = asyncrl("ls")
    lines = [line for line in out.splitlines() if line.startswith("rates")]
    assert (code, err) == (0, "")
    assert lines[0].split()[:7] == ["rates", "–", "3", "2", "0", "1", "damaged"]
    assert "sweep.toml" in lines[1]
    assert "alone" in out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("raets", "Did you mean 'rates'?"),
        ("alone", "is a run, and not a sweep"),
        ("zzz", "There are rates."),
        ("x" * 3000, "There is no sweep"),
    ],
)
def test_ls_unknown_sweep_is_one_line_with_the_nearest(asyncrl, name, text):
    code, out, err = asyncrl("ls", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert text in err


@pytest.mark.parametrize("cell", ["algo=a3c-s1-0a1b2c3d", "algo=a3c-s1", "0a1b", "0a1b2c3d"])
@pytest.mark.parametrize("sweep", ["rates", "results/rates"])
def test_show_cell_of_a_sweep_shows_its_run(asyncrl, sweep, cell):
    code, out, _ = asyncrl("show", f"{sweep}/{cell}", "--json")
    assert (code, json.loads(out)["id"]) == (0, "algo=a3c-s1-0a1b2c3d")


def test_find_last_of_a_sweep_returns_its_last_run(results):
    write_document(results / "rates", "b", provenance={"started": "2026-12-01T10:00:00+00:00"}, started="2026-12-01")
    assert runs.find(results, "rates/last") == results / "rates" / "b"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rates", "is a sweep: name one of its runs, rates/CELL"),
        ("raets", "Did you mean 'rates'?"),
        ("raets/0a1b", "Did you mean 'rates/0a1b'?"),
        ("rates/zzz", "There is no run 'zzz'"),
        ("rates/algo=a3c", "matches 2 runs"),
        ("zzz", "such as rates/last"),
        ("rates/" + "x" * 3000, "There is no run"),
    ],
)
def test_unknown_cell_is_one_line_with_the_nearest(asyncrl, name, text):
    code, out, err = asyncrl("show", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert text in err


@pytest.mark.parametrize("command", ["eval", "record", "resume"])
def test_command_on_a_sweep_names_the_way_to_its_runs(asyncrl, command):
    code, out, err = asyncrl(command, "rates")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "asyncrl ls results/rates" in err
