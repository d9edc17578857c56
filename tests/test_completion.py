"""Completion in a shell, as bash asks for it."""

import os
import subprocess
import sys

import pytest

from tests.past import make_run


def asking(words):
    """Return the variables with which bash asks for completions of the last word."""
    return {"_ASYNCRL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}


@pytest.fixture
def complete(tmp_path, monkeypatch, command_line):
    """Return a function that returns completions, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def ask(words):
        for name, value in asking(words).items():
            monkeypatch.setenv(name, value)
        code, out, err = command_line()
        assert (code, err) == (0, "")
        return out.split()

    return ask


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("asyncrl do", ["doctor"]),
        ("asyncrl run --env po", ["pong", "pooyan"]),
        ("asyncrl run --env minatar/b", ["minatar/breakout"]),
        ("asyncrl run --env CartP", ["CartPole-v1"]),
        ("asyncrl run --env no:such", []),
        ("asyncrl run --algo one", ["one-step-q", "one-step-sarsa"]),
        ("asyncrl run --tracker t", ["tensorboard"]),
        ("asyncrl show l", ["last"]),
    ],
)
def test_names_of_environments_and_settings_are_completed(complete, words, found):
    assert complete(words) == found


def test_runs_are_completed_out_of_the_directory_of_results(complete, tmp_path, monkeypatch):
    make_run(tmp_path / "results", "pong-one")
    make_run(tmp_path / "elsewhere", "pong-two")
    make_run(tmp_path / "results/rates", "cell-1")
    (tmp_path / "results/rates/sweep.toml").write_text("")
    assert complete("asyncrl show po") == ["pong-one"]
    assert complete("asyncrl eval --results elsewhere po") == ["pong-two"]
    assert complete("asyncrl record rates/") == ["rates/cell-1"]
    assert complete("asyncrl record nowhere/") == []
    monkeypatch.setenv("ASYNCRL_RESULTS", "elsewhere")
    assert complete("asyncrl resume po") == ["pong-two"]


def test_completion_of_environments_imports_no_torch(tmp_path):
    code = (
        "import sys\nfrom asyncrl.cli.app import main\ntry:\n    main([])\n"
        "finally:\n    assert 'torch' not in sys.modules"
    )
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment = os.environ | path | asking("asyncrl run --env po")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, env=environment
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["pong", "pooyan"], "")
