"""Without the extras of the package, what needs none works, and everything else names its extra in one line."""

import os
import subprocess
import sys

EXTRAS = ("pandas", "pyarrow", "matplotlib", "seaborn", "jinja2", "optuna", "scipy", "onnx", "imageio")
GRID = '[sweep]\nseeds = 2\n[base]\nenv = "CartPole-v1"\nalgo = "a3c"\nthreads = 1\nframes = 300\n'
SEARCH = """
[sweep]
kind = "optuna"
n = 2
[base]
env = "CartPole-v1"
[vary]
t_max = { low = 2, high = 9 }
"""
PROGRAM = """
import sys
for name in {extras}:
    sys.modules[name] = None
from asyncrl.cli.app import main
import asyncrl

def attempt(call):
    try:
        call()
    except (SystemExit, asyncrl.InputError) as end:
        print("end:", end)

attempt(lambda: main(["sweep", "grid.toml", "--dry-run"]))
attempt(lambda: main(["ls"]))
attempt(lambda: main(["sweep", "search.toml"]))
attempt(lambda: main(["report"]))
attempt(lambda: asyncrl.runs())
attempt(lambda: asyncrl.sweep("grid.toml"))
"""


def test_commands_without_the_extras_work_or_name_the_extra(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    (tmp_path / "search.toml").write_text(SEARCH)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])}
    environment.pop("ASYNCRL_RESULTS", None)
    command = [sys.executable, "-c", PROGRAM.format(extras=EXTRAS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    ends = [line.removeprefix("end: ") for line in done.stdout.splitlines() if line.startswith("end: ")]
    assert ends[:4] == ["0", "0", "2", "2"], done.stderr
    assert all("This needs pandas: pip install 'asyncrl[analysis]'" in end for end in ends[4:])
    assert "This needs optuna: pip install 'asyncrl[sweeps]'" in done.stderr
    assert not (tmp_path / "results").exists()
