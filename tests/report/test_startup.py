"""What the report command imports: it answers mistakes fast and needs no torch."""

import os
import subprocess
import sys
from pathlib import Path

from tests.analysis.stores import straight, write


def run_without_imports(folder, arguments, code, forbidden):
    """Run a command in a folder, which must end with an exit code without importing some packages."""
    text = f"""
import sys
from asyncrl.cli.app import main
try:
    main({arguments})
except SystemExit as end:
    assert (end.code or 0) == {code}, end.code
assert not {forbidden} & sys.modules.keys()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "100"}
    environment.pop("ASYNCRL_RESULTS", None)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=100, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done


def test_report_with_a_wrong_argument_fails_without_importing_matplotlib(tmp_path):
    write(tmp_path / "results", "one", straight(-20, 5))
    for mistake in (["--where", "threads>99"], ["--reference", "pomg=1"]):
        run_without_imports(tmp_path, ["report", *mistake], 2, {"seaborn", "matplotlib", "scipy", "torch"})


def test_a_report_needs_no_torch(tmp_path):
    write(tmp_path / "results", "one", straight(-20, 5))
    done = run_without_imports(tmp_path, ["report"], 0, {"torch", "gymnasium", "ale_py", "optuna"})
    assert "The report is in results/report/report.html" in done.stdout
    assert Path(tmp_path / "results" / "report" / "report.md").exists()
