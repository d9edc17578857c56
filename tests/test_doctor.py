import json
import os
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import PackageNotFoundError

import pytest
from rich.console import Console

from asyncrl import doctor
from asyncrl.system import machine

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (doctor.native.NO_COMPILER, "Install gcc"),
        ("switched off", "is slower on Atari."),
        ("cannot cache the library: /x belongs to another user", "XDG_CACHE_HOME"),
    ],
)
def test_without_the_compiled_part_training_is_slower(monkeypatch, status, advice):
    monkeypatch.setattr(doctor.native, "load", lambda: None)
    monkeypatch.setattr(doctor.native, "status", lambda: status)
    check = doctor.compiler()
    assert (check.verdict, check.found) == ("warn", status)
    assert advice in check.advice
    assert ("gcc" in check.advice) == (status == doctor.native.NO_COMPILER)


@pytest.mark.parametrize(("free", "failed"), [(2**20, {"shared memory", "disk"}), (2**40, set())])
def test_what_every_run_needs_is_looked_for(monkeypatch, tmp_path, free, failed):
    for name in ("games", "processes", "emulator"):
        monkeypatch.setattr(doctor, name, lambda: doctor.Check("other", "ok", ""))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: Usage(2**40, 0, free))
    monkeypatch.setattr(machine, "cores", lambda: 2)
    checks = {check.name: check for check in doctor.run_checks(tmp_path)}
    assert {name for name, check in checks.items() if check.verdict == "fail"} == failed
    assert "a run of 16 workers" in checks["open files"].found
    assert "16 threads take turns" in checks["cores"].advice


@pytest.mark.parametrize(
    ("found", "verdict"), [("2.8", "ok"), ("2.13.0+cpu", "ok"), ("3.0.0rc1", "ok"), ("2.7.1", "fail"), (None, "fail")]
)
def test_packages_must_be_new_enough(monkeypatch, found, verdict):
    def version(package):
        if found is None:
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr(doctor, "version", version)
    check = doctor.package_version("torch")
    assert check.verdict == verdict
    assert ('pip install --upgrade "torch>=2.8"' in check.advice) == (verdict == "fail")


@pytest.mark.parametrize(
    ("python", "system", "verdict"),
    [(("3", "11", "0"), "Linux", "ok"), (("3", "14", "1"), "Linux", "warn"), (("3", "12", "0"), "Darwin", "warn")],
)
def test_python(monkeypatch, python, system, verdict):
    monkeypatch.setattr(doctor.platform, "python_version_tuple", lambda: python)
    monkeypatch.setattr(doctor.platform, "system", lambda: system)
    assert doctor.python().verdict == verdict


def test_missing_games_fail(monkeypatch):
    from ale_py import roms

    monkeypatch.setattr(roms, "get_rom_path", lambda name: None if name == "pong" else "there")
    assert doctor.games().verdict == "fail"


def test_what_breaks_while_it_is_examined_fails_with_its_reason(monkeypatch, tmp_path):
    def broken():
        raise OSError("libsomething.so:\nno such file")

    for name in ("games", "processes", "emulator"):
        monkeypatch.setattr(doctor, name, broken)
    checks = {check.name: check for check in doctor.run_checks(tmp_path)}
    assert checks["emulator"].verdict == "fail"
    assert checks["emulator"].found == "OSError: libsomething.so: no such file"
    assert checks["emulator"].advice


def test_advice_stands_under_what_was_found():
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(doctor.line(doctor.Check("disk", "fail", "full", "Free some.")))
    assert [line.split() for line in capture.get().splitlines()] == [["fail", "disk", "full"], ["→", "Free", "some."]]


@pytest.mark.timeout(120)
def test_this_machine_is_well(tmp_path):
    """The real thing, from its command: a spawned child shares memory, and an Atari game steps."""
    command = [sys.executable, "-m", "asyncrl", "doctor", "--json", "--results", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    checks = json.loads(done.stdout)
    failed = [check for check in checks if check["verdict"] == "fail"]
    assert failed == []
    assert done.returncode == 0
    assert {"processes", "emulator"} < {check["name"] for check in checks}
