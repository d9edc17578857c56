"""The checks of nodes of which some do not answer."""

import io
import sys

import pytest
from rich.console import Console

from asyncrl import doctor
from asyncrl.cluster import checks
from asyncrl.system.machine import Check
from tests.cluster.fake_ray import FakeRay

LOST = "The actor died because its node has died.\n\tThe node was terminated unexpectedly."
TRACEBACK = "\x1b[36mray::Probe.describe()\x1b[39m\nTraceback (most recent call last):\nImportError: no module\n"


@pytest.fixture
def cluster(monkeypatch):
    """Return a function that makes a cluster of Ray with a node for each name, and its error."""

    def make(**errors):
        ray = FakeRay(errors)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return make


def test_checks_of_nodes_that_fail_name_the_reason_and_the_way_out_and_check_the_others(cluster):
    kinds = FakeRay.exceptions
    ray = cluster(
        silent=kinds.GetTimeoutError("Get timed out"),
        lost=kinds.RayActorError(LOST),
        bare=kinds.RayTaskError(TRACEBACK),
        good=None,
    )
    found = {check.found.partition(":")[0]: check for check in checks.run_checks("ray") if check.name == "node"}
    assert [check.verdict for check in found.values()] == ["fail", "fail", "fail", "ok"]
    assert found["silent"].found == "silent: no answer within 120 s"
    assert found["lost"].found == "lost: The node was terminated unexpectedly."
    assert found["bare"].found == "bare: ImportError: no module"
    assert [check.advice for check in found.values()] == [checks.RESTART, checks.RESTART, checks.INSTALL, ""]
    assert found["good"].found.startswith("good: 1 core, the same versions; kernels ")
    assert ray.ended == ray.running == list(found)


def test_checks_that_are_stopped_leave_no_actor(cluster):
    ray = cluster(first=None, second=None)
    found = checks.run_checks("ray")
    assert [next(found).name, next(found).name] == ["cluster", "node"]
    found.close()
    assert ray.ended == ray.running == ["first", "second"]


def test_line_of_a_check_with_control_characters_has_none():
    console = Console(file=io.StringIO(), width=200)
    console.print(doctor.line(Check("node", "fail", "a\x1b[2Jb", "c\x9bd")))
    assert not {"\x1b", "\x9b"} & set(console.file.getvalue())
