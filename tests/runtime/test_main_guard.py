"""Scripts that train with and without the guard of their main module, as real processes."""

import json
import os
import subprocess
import sys

import pytest

TRAIN = """
from pathlib import Path
from asyncrl import experiment
from asyncrl.training import job_builder
"""
SETTINGS = '{"env": "tests.toys:Corridor", "threads": 2, "frames": 2000, "evaluation": {"episodes": 0}}'
CALL = f"""
config, spec = job_builder.resolve({SETTINGS})
experiment.train(config, Path("results"), spec=spec)
"""
FUNCTION = "def main():" + CALL.replace("\n", "\n    ") + "\n"
GUARD = "if __name__ == '__main__':\n    "
CHILD = f"import multiprocessing\n{GUARD}multiprocessing.get_context('spawn').Process(target=main).start()"

CHILD_WITHOUT_GUARD = "import multiprocessing; multiprocessing.set_start_method('spawn'); main()"


def run(tmp_path, script):
    """Run a script; return its exit code, its messages, and the run.json of every run."""
    (tmp_path / "script.py").write_text(TRAIN + script)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])}
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=100)
    runs = [json.loads(file.read_text()) for file in (tmp_path / "results").glob("*/run.json")]
    return done.returncode, done.stderr, runs


@pytest.mark.faults
@pytest.mark.parametrize("script", [CALL, f"{FUNCTION}main()", f"{FUNCTION}if True:\n    {CHILD_WITHOUT_GUARD}"])
def test_train_in_a_script_without_a_guard_is_refused_and_writes_nothing(tmp_path, script):
    code, messages, runs = run(tmp_path, script)
    assert code == 1
    assert "script.py trains when it is imported" in messages.splitlines()[-1]
    assert 'if __name__ == "__main__"' in messages.splitlines()[-1]
    assert runs == []


@pytest.mark.faults
def test_train_below_a_condition_that_is_no_guard_fails_at_once(tmp_path):
    """The parent takes the condition for a guard; the processes that it starts find that it is none."""
    _, messages, runs = run(tmp_path, f"{FUNCTION}if __name__:\n    main()")
    assert 'if __name__ == "__main__"' in messages.splitlines()[-1]
    assert [document["status"] for document in runs] == ["failed"]


@pytest.mark.faults
@pytest.mark.parametrize("script", [f"{FUNCTION}{GUARD}main()", f"{FUNCTION}{CHILD}"])
def test_train_in_a_script_with_a_guard_finishes(tmp_path, script):
    code, messages, runs = run(tmp_path, script)
    assert code == 0, messages
    assert [document["status"] for document in runs] == ["finished"]
