"""Checks of cores, memory, disk and open files, with real limits where the system allows them."""

import os
import resource
from collections import namedtuple

import pytest

from asyncrl.system import machine
from asyncrl.system.machine import MIB
from tests.limits import limited

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Return what sets the bytes that are free everywhere."""
    return lambda number: monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: Usage(2**40, 0, number))


@pytest.mark.parametrize(("number", "verdict"), [(MIB, "fail"), (15 * MIB, "warn"), (16 * MIB, "ok")])
def test_shared_memory_must_hold_what_the_run_shares(free, tmp_path, number, verdict):
    free(number)
    check = machine.shared_memory(4 * MIB, tmp_path)
    assert check.verdict == verdict
    assert "a run needs 4.00 MiB" in check.found
    assert ("--shm-size" in check.advice) == (verdict != "ok")


def test_no_shared_memory_at_all(tmp_path):
    assert machine.shared_memory(1, tmp_path / "nowhere").verdict == "warn"


@pytest.mark.parametrize(("number", "verdict"), [(MIB, "fail"), (399 * MIB, "warn"), (2**40, "ok")])
def test_results_need_room(free, tmp_path, number, verdict):
    free(number)
    assert machine.disk(tmp_path / "not" / "yet" / "there", 100 * MIB).verdict == verdict
    assert not (tmp_path / "not").exists()


def test_results_must_be_a_place_to_write(tmp_path):
    (tmp_path / "file").touch()
    check = machine.disk(tmp_path / "file" / "results", 1)
    assert check.verdict == "fail"
    assert "--results" in check.advice


def test_the_limit_of_open_files_is_raised_where_that_is_allowed_and_enough():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with limited(resource.RLIMIT_NOFILE, 64):
        check = machine.open_files(20)
        assert check == ("open files", "ok", "100 at once, a run of 20 workers needs 100", "")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, hard)
        machine.open_files(1)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, hard)  # never lowered


def test_a_hard_limit_of_open_files_that_is_too_low_fails(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (32, 64))
    monkeypatch.setattr(machine.resource, "setrlimit", lambda which, limits: None)
    check = machine.open_files(16)
    assert check.verdict == "fail"
    assert check.found == "64 at once, a run of 16 workers needs 88"
    assert "ulimit -n 88" in check.advice


def test_no_limit_of_open_files_is_enough(monkeypatch):
    monkeypatch.setattr(machine.resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert machine.open_files(1024).verdict == "ok"


@pytest.mark.parametrize(
    ("usable", "threads", "verdict"), [(1, 1, "ok"), (1, 2, "warn"), (2, 8, "ok"), (2, 9, "warn"), (8, 16, "ok")]
)
def test_processors_with_many_more_threads_than_cores_warns(monkeypatch, usable, threads, verdict):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(usable)), raising=False)
    assert machine.processors(threads).verdict == verdict


def test_cores_without_affinity_returns_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.core_numbers() == []
    assert machine.cores() == os.cpu_count()


@pytest.mark.parametrize(
    ("number", "text"), [(1, "0.01 MiB"), (MIB + 1, "1.01 MiB"), (20 * MIB, "20 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_size_formats_bytes(number, text):
    assert machine.size(number) == text
