"""Every Python block of the documents runs; tests/learning/test_front_door.py runs that of the README."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in sorted(ROOT.glob("docs/*.md")) if "```python" in page.read_text()]
FILE = re.compile(r"# (\w+\.py)\n")  # the first line of a block that is a file


@pytest.mark.learning
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_of_a_page_run_one_after_another(page, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    script = []
    for block in blocks:
        if name := FILE.match(block):
            (tmp_path / name[1]).write_text(block)
        else:
            script.append(block)
    for file in tmp_path.glob("train_*.py"):
        subprocess.run([sys.executable, file], cwd=tmp_path, check=True, timeout=500)
    for file in tmp_path.glob("test_*.py"):
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file], check=True, timeout=500)
    # Standard input is no file that a worker would import.
    done = subprocess.run(
        [sys.executable, "-"], input="\n".join(script), text=True, capture_output=True, cwd=tmp_path, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
