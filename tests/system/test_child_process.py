"""A child's first moments: it asks whether its parent lives before it does anything that takes long."""

import subprocess
import sys

import pytest

BEGIN = """
import os, sys
from types import SimpleNamespace
from asyncrl.system import child_process
child_process.parent_process = lambda: SimpleNamespace(pid={parent})
deferred = child_process.DeferredCall((print, ("opened",)))
deferred.__setstate__(deferred.__getstate__())
assert "torch" not in sys.modules and "numpy" not in sys.modules
child_process.run_deferred(deferred)
"""


@pytest.mark.parametrize(("parent", "code", "said"), [("os.getppid()", 0, "opened\n"), ("1", 1, "")])
def test_a_child_whose_parent_has_died_ends_before_it_imports_anything(parent, code, said):
    command = [sys.executable, "-c", BEGIN.format(parent=parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, said), done.stderr
