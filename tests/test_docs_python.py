"""Every Python block of the documents runs, and every ``asyncrl run`` is accepted by ``--dry-run``."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))] if "```python" in page.read_text()]
FILE = re.compile(r"# (\w+\.py)\n")  # the first line of a block that is a file


def commands(page):
    """Return the lines of ``asyncrl run`` in the bash blocks of a page, without comments."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("asyncrl run")]


RUNS = [(page, line) for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))] for line in commands(page)]
# Files of the reader, such as my.toml, and names that a page only shows as a pattern.
NOT_HERE = ("my.toml", "mine:", "mazes:", "results/", ":Wide", ":Gru", ":Lion", ":DoubleQ", "FILE", "$", "…")


@pytest.mark.parametrize(("page", "line"), RUNS, ids=[f"{page.name}-{i}" for i, (page, _) in enumerate(RUNS)])
def test_run_command_of_a_page_is_accepted(command_line, tmp_path, monkeypatch, page, line):
    if any(part in line for part in NOT_HERE):
        pytest.skip("it names a file of the reader")
    if "--tracker tensorboard" in line:
        pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    code, _, err = command_line(*shlex.split(line)[1:], "--dry-run")
    assert code == 0, err


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
    # Standard input is no file that a worker would import.
    done = subprocess.run(
        [sys.executable, "-"], input="\n".join(script), text=True, capture_output=True, cwd=tmp_path, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
