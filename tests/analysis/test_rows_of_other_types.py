"""Rows that are JSON of another type than a table, read in a process of its own, which the parser might end."""

import subprocess
import sys

import pytest

from tests.analysis.stores import straight, write

ROWS = ["null", "true", "1", '"text"', '"{"', "{}", "{}{}", ""]


@pytest.mark.timeout(60)
def test_row_of_another_type_does_not_end_export(tmp_path):
    for number, row in enumerate(ROWS):
        write(tmp_path / "runs", f"run{number}", straight(0, 10), env="CartPole-v1", protocol="gymnasium")
        run = tmp_path / "runs" / f"run{number}"
        for name in ("episodes", "metrics"):
            (run / f"{name}.jsonl").write_text(f"{row}\n")
    command = [sys.executable, "-m", "asyncrl", "export", "--results", str(tmp_path / "runs")]
    done = subprocess.run([*command, "--out", str(tmp_path / "tables")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
