"""The notebook of the documents runs from its first cell to its last one, and has no outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = json.loads((Path(__file__).parents[1] / "docs/first-steps.ipynb").read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_notebook_holds_no_outputs():
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in CODE)


# It starts many processes.
@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_notebook_cells_run_one_after_another(tmp_path):
    """A program from standard input is, as a notebook is, no file that a worker could import."""
    program = "\n".join("".join(cell["source"]) for cell in CODE)
    variables = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, cwd=tmp_path, timeout=100, env=variables
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "finished" in done.stdout
    assert "one episode:" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
