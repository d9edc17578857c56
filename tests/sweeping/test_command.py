"""``asyncrl sweep`` and ``asyncrl run --seeds``, with real processes."""

import json

import pytest

from asyncrl.store.runs import list_runs

# [base] alone has three final rates and two probabilities
HALF = """
[sweep]
seeds = 1
[base]
env = "CartPole-v1"
exploration.probability = [0.5, 0.5]
[vary]
"exploration.final" = [[0.1, 0.01]]
"""
GRID = """
[sweep]
seeds = 2
[base]
env = "CartPole-v1"
frames = 600
threads = 1
evaluation.episodes = 0
"""


@pytest.fixture
def asyncrl(tmp_path, monkeypatch, command_line):
    """Return a function that runs a command line and returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    return command_line


def documents(root):
    return {run.name: json.loads((run / "run.json").read_text()) for run in list_runs(root)}


def test_sweep_of_two_seeds_trains_reports_and_skips(asyncrl, tmp_path):
    (tmp_path / "mine.toml").write_text(GRID)
    code, out, err = asyncrl("sweep", "mine.toml")
    assert (code, err) == (0, "")
    assert "[2/2]" in out
    assert "2 of 2 cells finished" in out
    found = documents(tmp_path / "results/mine")
    assert {document["status"] for document in found.values()} == {"finished"}
    assert sorted(document["config"]["seed"] for document in found.values()) == [1, 2]
    assert {document["tags"]["sweep"] for document in found.values()} == {"mine"}
    code, out, _ = asyncrl("sweep", "mine.toml", "--dry-run", "--json")
    assert json.loads(out)["finished"] == 2
    times = {name: (tmp_path / "results/mine" / name / "run.json").stat().st_mtime_ns for name in found}
    assert asyncrl("sweep", "mine.toml")[0] == 0
    assert times == {name: (tmp_path / "results/mine" / name / "run.json").stat().st_mtime_ns for name in found}


# It starts many processes.
@pytest.mark.faults
def test_run_with_seeds_is_a_sweep_that_the_same_command_extends(asyncrl, tmp_path):
    options = ["run", "--env", "CartPole-v1", "--frames", "600", "--threads", "1", "--set", "evaluation.episodes=0"]
    assert asyncrl(*options, "--seeds", "1")[0] == 0
    assert asyncrl(*options, "--seeds", "1-3", "--dry-run")[0] == 0
    assert asyncrl(*options, "--seeds", "1-2")[0] == 0
    (sweep,) = (tmp_path / "results").iterdir()
    assert sorted(document["config"]["seed"] for document in documents(sweep).values()) == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "figure22"], "There is no file 'figure22', and no sweep of that name. Did you mean 'figure2'?"),
        (["sweep", "mine.toml", "--name", "a/b"], "cannot be named 'a/b'"),
        (["sweep", "mine.toml", "--confirm", "2"], "not of kind optuna"),
        (["sweep", "mine.toml", "--jobs", "0"], "--jobs"),
        (["sweep", "wrong.toml"], "There is no setting 'lr'"),
        (["sweep", "half.toml"], "varies together: exploration final and probability need one entry each"),
        (["sweep", "half.toml", "--dry-run"], "[base] must be valid without [vary]"),
        (["sweep", "mine.toml", "--name", "taken"], "is not the directory of a sweep"),
        (["run", "--seeds", "1-3", "--seed", "2"], "Give --seed or --seeds, not both."),
        (["run", "--seeds", "x"], "takes a number of seeds"),
    ],
)
def test_sweep_with_a_mistake_writes_nothing(asyncrl, tmp_path, arguments, message):
    (tmp_path / "mine.toml").write_text(GRID)
    (tmp_path / "wrong.toml").write_text(GRID + "lr = 3\n")
    (tmp_path / "half.toml").write_text(HALF)
    (tmp_path / "results/taken/x").mkdir(parents=True)
    code, _, err = asyncrl(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["taken"]
