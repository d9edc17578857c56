"""Progress in a notebook: plain lines of text, without elements of HTML and control codes."""

import builtins

import pytest

import asyncrl
from asyncrl.terminal.console import SafeConsole

SETTINGS = {"env": "tests.toys:Corridor", "threads": 1, "frames": 300, "evaluation": {"episodes": 0}}


@pytest.fixture
def notebook(monkeypatch):
    """Let Rich find the shell of a notebook's kernel, which is of this class."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)


def test_console_in_a_notebook_writes_lines_to_its_stream(notebook, capsys):
    SafeConsole().print("100.0%  done")
    assert capsys.readouterr().out == "100.0%  done\n"


@pytest.mark.usefixtures("notebook", "nothing_left")
def test_train_in_a_notebook_prints_plain_lines(tmp_path, capsys):
    asyncrl.train("a3c", results=tmp_path, **SETTINGS)
    out, err = capsys.readouterr()
    assert "100.0%" in out.splitlines()[-1]
    assert "\x1b" not in out + err
