"""What many tests share.

Faults are counted: each fault test records what it injects, and a table at the end of a session has how much of it was
survived.
"""

import multiprocessing
import os
from collections import Counter

import pytest
import torch

from asyncrl.cli.app import main
from asyncrl.runtime import worker_slot
from tests.runtime.setups import children, shared_memory, wait_until

RECORD = "fault"


@pytest.fixture(autouse=True)
def torch_seed():
    """Draw the same weights and inputs in every run: a rectifier at the edge may differ between two correct kernels."""
    torch.manual_seed(0)


@pytest.fixture
def nothing_left():
    """Check that a test leaves no process, and no name in /dev/shm."""
    before, names = children(os.getpid()), shared_memory()
    started = multiprocessing.active_children()
    yield
    assert wait_until(lambda: children(os.getpid()) <= before and shared_memory() <= names)
    assert set(multiprocessing.active_children()) <= set(started)


@pytest.fixture
def command_line(capsys):
    """Return a function that runs a command line in this process; it returns its exit code, output and errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run


@pytest.fixture
def slow_start(monkeypatch):
    """Allow a process a long start: other tests may run on the same cores."""
    monkeypatch.setattr(worker_slot, "STARTING", 100)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="inflict every fault as often as the documentation says")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark each test that counts faults as a fault test."""
    for item in items:
        if "faults" in item.fixturenames:
            item.add_marker("faults")


class Tally:
    """What one test inflicts."""

    def __init__(self, record, is_full):
        self._record, self._is_full = record, is_full

    def times(self, few, full):
        """Return how often to inflict something: a few times, or as often as the documentation says."""
        return full if self._is_full else few

    def inject(self, fault, times=1):
        """Count what is about to happen."""
        self._record(RECORD, (fault, times, 0))

    def survive(self, fault, times=1):
        """Count what went well."""
        self._record(RECORD, (fault, 0, times))


@pytest.fixture
def faults(request, record_property):
    """Return this test's tally."""
    return Tally(record_property, request.config.getoption("--full"))


def pytest_terminal_summary(terminalreporter):
    """Print a table of fault, injections and survived."""
    injected, survived = Counter(), Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, value in report.user_properties:
                    if name == RECORD:
                        fault, tried, held = value
                        injected[fault] += tried
                        survived[fault] += held
    if injected and "not faults" not in terminalreporter.config.getoption("markexpr"):
        terminalreporter.section("faults")
        terminalreporter.write_line("| fault | injections | survived |")
        terminalreporter.write_line("|---|---:|---:|")
        for fault, times in injected.items():
            terminalreporter.write_line(f"| {fault} | {times} | {survived[fault]} |")
