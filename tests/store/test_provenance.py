import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import torch

from asyncrl.store import provenance


def git(folder, *arguments):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_collect_is_json_and_holds_only_what_is_listed(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hush")
    monkeypatch.setattr(sys, "argv", ["/home/someone/bin/asyncrl", "run", "--results", "/home/someone/private"])
    collected = provenance.collect()
    assert set(collected) == {
        "versions", "commit", "dirty", "platform", "cpu", "cores", "compiled", "usable_cores", "program", "started"
    }  # fmt: skip
    text = json.dumps(collected)
    assert "hush" not in text
    assert "someone" not in text
    assert collected["program"] == "asyncrl"
    assert collected["versions"]["torch"] == torch.__version__
    assert collected["cpu"]
    assert collected["cores"] == os.cpu_count()
    assert datetime.fromisoformat(collected["started"]).utcoffset().total_seconds() == 0


def test_collect_imports_none_of_the_packages():
    code = "import sys; from asyncrl.store.provenance import collect; collect(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_commit_is_that_of_asyncrls_own_checkout(tmp_path):
    package = tmp_path / "asyncrl"
    package.mkdir()
    assert provenance.commit_of(tmp_path) == (None, None)  # no checkout
    git(tmp_path, "init", "-q")
    assert provenance.commit_of(tmp_path) == (None, None)  # no commit
    (package / "a.py").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit, dirty = provenance.commit_of(tmp_path)
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "notes.txt").touch()
    assert provenance.commit_of(tmp_path) == (commit, False)
    (package / "b.py").touch()
    assert provenance.commit_of(tmp_path) == (commit, True)
    assert provenance.commit_of(package) == (None, None)  # installed inside another project


def test_a_machine_without_git_or_cpuinfo(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit_of(Path(__file__).parents[2]) == (None, None)
    monkeypatch.setattr(Path, "read_text", lambda self: (_ for _ in ()).throw(FileNotFoundError()))
    assert provenance.cpu_model()
