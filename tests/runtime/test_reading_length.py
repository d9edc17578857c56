"""An update of A3C can be read in few lines: what runs between θ′ ← θ and the change of θ lies in four files."""

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import CodeType

import asyncrl
from asyncrl.kernels import native
from asyncrl.runtime.job import use_torch
from tests.runtime.setups import actor, prepare

PACKAGE = Path(asyncrl.__file__).parent
READ = {"learners/a3c.py", "rollout.py", "runtime/worker.py", "runtime/parameters.py"}
MOST_LINES = 350
# Networks and environments are behind their interfaces, the update rule and the learning rate are formulas of their
# own; a loss is a number with a gradient; the log of actions wraps the environments.
LEFT_OUT = ("networks/", "kernels/", "envs/", "learners/base.py", "optim.py", "schedules.py", "runtime/action_log.py")


def calls_of(run) -> set[CodeType]:
    """Return the code of all Python functions that run while ``run`` does, in this thread."""
    codes = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: codes.add(frame.f_code) if event == "call" else None)
    try:
        run()
    finally:
        sys.setprofile(before)
    return codes


def file_of(code: CodeType) -> str:
    """Return the path of a function's file in the package; an empty string outside of it."""
    path = Path(code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else ""


def lines_of(code: CodeType) -> set[tuple[str, int]]:
    """Return the file and number of each source line of a function, its decorators and docstring included."""
    lines, first = inspect.getsourcelines(code)
    return {(code.co_filename, first + i) for i in range(len(lines))}


def test_an_update_of_a3c_is_read_in_four_files_and_at_most_350_lines():
    job, parameters = prepare(algo="a3c", averaging=1)
    # the learner on torch's layers: on compiled networks it computes the same
    worker = actor(replace(job, accelerate=use_torch), parameters).actor
    # the first call reads a file
    native.load()
    updates = worker.parameters.updates
    codes = calls_of(lambda: list(worker.update()))
    assert worker.parameters.updates == updates + 1
    codes = {code for code in codes if (file := file_of(code)) and not file.startswith(LEFT_OUT)}
    names = {code.co_qualname for code in codes}
    assert {"ActorLearner.update", "Stream.collect", "A3C.loss", "SharedParameters.apply"} <= names
    assert {file_of(code) for code in codes} <= READ
    # A function inside another one, such as ``act`` in ``update``, is counted once.
    assert len(set().union(*map(lines_of, codes))) <= MOST_LINES
