"""The ten lines of the README: train, load, export, and play whole games with torch and onnxruntime side by side."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
LINES, RETURN = 10, 450
IS_IMPORT = re.compile(r"(import|from) ")


@pytest.mark.learning
@pytest.mark.timeout(600)
def test_ten_lines_of_the_readme_train_an_agent_that_onnxruntime_plays_alike(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    section = README.read_text().partition("## From Python\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in block.splitlines() if line and not IS_IMPORT.match(line)]
    assert len(lines) == LINES
    # Standard input is no file that a worker would import.
    command = [sys.executable, "-"]
    done = subprocess.run(command, input=block, text=True, capture_output=True, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.splitlines()[-1]) >= RETURN
