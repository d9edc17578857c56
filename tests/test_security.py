"""What SECURITY.md says of results of other people: which commands run what a run names, and which run nothing."""

import json

import pytest

from tests.analysis.stores import straight, write

TRAP = "import pathlib\npathlib.Path('ran').touch()\n"


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """Return a file that exists once a module is imported that the only run names."""
    file = write(tmp_path / "results", "one", straight(-20, 5)) / "run.json"
    document = json.loads(file.read_text())
    document["config"] |= {"env": "foreign:make", "algo": "foreign:Learner", "network": "foreign:Network"}
    document["config"]["optimizer"]["name"] = "foreign:Optimizer"
    file.write_text(json.dumps(document))
    (tmp_path / "foreign.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "ran"


@pytest.mark.parametrize("command", [["ls"], ["show", "one"], ["export", "--format", "csv", "--out", "flat"]])
def test_command_that_reads_a_run_imports_no_module_that_it_names(command_line, trap, command):
    code, _, err = command_line(*command)
    assert code == 0, err
    assert not trap.exists()


def test_eval_of_a_run_imports_the_environment_that_it_names(command_line, trap):
    assert command_line("eval", "one")[0] == 2
    assert trap.exists()
