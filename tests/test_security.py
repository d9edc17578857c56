"""What SECURITY.md promises of results of other people: commands that read them run nothing that they name."""

import json

import pytest

from tests.analysis.stores import straight, write

EVIL = "import pathlib\npathlib.Path('ran').touch()\n"


@pytest.mark.parametrize("command", [["ls"], ["show", "one"], ["export", "--format", "csv", "--out", "flat"]])
def test_command_that_reads_a_run_imports_no_module_that_it_names(command_line, tmp_path, monkeypatch, command):
    write(tmp_path / "results", "one", straight(-20, 5))
    file = tmp_path / "results" / "one" / "run.json"
    document = json.loads(file.read_text())
    document["config"] |= {"env": "evil:make", "algo": "evil:Learner", "network": "evil:Network"}
    document["config"]["optimizer"]["name"] = "evil:Optimizer"
    file.write_text(json.dumps(document))
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, err = command_line(*command)
    assert code == 0, err
    assert not (tmp_path / "ran").exists()
