"""Whose library is loaded: planted, cut and shared files, and compilers that misbehave, in new processes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncrl.kernels import native
from tests.kernels.setups import compiled
from tests.runtime.setups import is_alive, wait_until

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# a library that is built in a tenth of the time
STUBS = "".join(f"void {name}(void) {{}}\n" for name in native.FUNCTIONS)
SETUP = "from pathlib import Path; from asyncrl.kernels import native; native.SOURCE = Path('stubs.c')"
PRINT_STATUS = f"{SETUP}; print(native.load() is not None, native.status())"
IN_USE = f"True {native.IN_USE}"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def status(tmp_path):
    """Return a function that prints the status in a new process, whose home directory is ``tmp_path``."""

    (tmp_path / "stubs.c").write_text(STUBS)

    def run(code=PRINT_STATUS, **changes):
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)} | changes
        variables = {name: value for name, value in variables.items() if value is not None}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def cache(tmp_path):
    return tmp_path / ".cache" / "asyncrl"


def library(cache):
    (file,) = cache.iterdir()
    return file


@compiled
def test_build_makes_a_directory_and_a_file_of_the_user_alone(status, cache):
    assert status() == IN_USE
    assert cache.stat().st_mode & 0o777 == 0o700
    assert library(cache).stat().st_mode & 0o777 == 0o600


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def empty(file):
    file.write_bytes(b"")


def overwrite(file):
    file.write_bytes(b"not a library" * 10)


def flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def link(file):
    target = file.parent.parent / "elsewhere.so"
    file.rename(target)
    file.symlink_to(target)


def fifo(file):
    file.unlink()
    os.mkfifo(file)


def sign_what_cannot_be_loaded(file):
    """Write what a build for another system would be: whole, and of no use here."""
    file.write_bytes(b"not a library" + hashlib.sha256(b"not a library").digest())


def let_others_write(file):
    file.chmod(0o666)


def give_away(file):
    os.chown(file, NOBODY, NOBODY)


OTHERS_FILE = pytest.param(give_away, marks=needs_root)
SLOW = [pytest.param(damage, marks=pytest.mark.faults) for damage in (empty, overwrite, flip_a_byte, fifo)]


@compiled
@pytest.mark.parametrize("damage", [cut, link, sign_what_cannot_be_loaded, let_others_write, OTHERS_FILE, *SLOW])
def test_load_of_a_file_that_may_not_be_trusted_builds_it_again(status, cache, damage):
    status()
    damage(library(cache))
    assert status() == IN_USE
    file = library(cache)
    assert file.stat().st_uid == os.geteuid()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.is_file()
    assert not file.is_symlink()
    assert file.stat().st_size > 10_000


@compiled
def test_load_from_a_directory_that_others_may_write_to_closes_it_to_them(status, cache):
    status()
    cache.chmod(0o777)
    assert status() == IN_USE
    assert cache.stat().st_mode & 0o777 == 0o700


@compiled
@needs_root
@pytest.mark.parametrize("place", ["", ".."])
def test_load_from_a_directory_of_another_user_uses_torch(status, cache, place):
    status()
    os.chown(cache / place, NOBODY, NOBODY)
    assert "belongs to another user" in status()


@compiled
def test_load_below_a_directory_that_others_may_write_to_uses_torch(status, cache):
    status()
    cache.parent.chmod(0o777)
    assert status().startswith("False cannot cache the library: other users may write to ")
    cache.parent.chmod(0o1777)
    assert status() == IN_USE


@compiled
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CC": " "}, "CC is blank"),
        ({"CC": "'"}, "No closing quotation"),
        ({"CC": "/nonexistent"}, "no C compiler"),
        ({"HOME": "/nonexistent"}, "no home directory /nonexistent"),
        ({"XDG_CACHE_HOME": "/dev/null"}, "/dev/null"),
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, "/proc/nowhere"),
    ],
)
def test_status_without_a_compiler_or_a_place_gives_the_reason(status, changes, reason):
    output = status(**changes)
    assert output.startswith("False ")
    assert reason in output
    assert output.count("\n") == 0


@compiled
@pytest.mark.faults
@pytest.mark.parametrize("changes", [{"CC": "gcc -O1"}, {"XDG_CACHE_HOME": "relative"}, {"XDG_CACHE_HOME": ""}])
def test_load_with_odd_variables_uses_the_home_directory(status, cache, tmp_path, changes):
    assert status(**changes) == IN_USE
    assert library(cache)
    assert not (tmp_path / "relative").exists()


COMPILERS = {
    "garbage": ('while [ "$1" != -o ]; do shift; done; echo garbage > "$2"', "wrote a library that cannot be loaded"),
    "other": ("exec cc -x c -shared -o \"$(eval echo '${'$(($# - 2))'}')\" /dev/null", "cannot be loaded"),
    "nothing": ("exit 0", "wrote no library"),
    "loud": ("head -c 30000000 /dev/zero | tr '\\0' x >&2; exit 1", "loud failed"),
    "colourful": ("printf 'a.c: \\033[31merror\\033[0m: \\377' >&2; exit 1", "a.c: [31merror"),
    "hanging": ("sleep 1000 & echo $! > child; wait", "took longer than 1 s"),
    "killed": ("kill -9 $$", "killed failed"),
}


MOST = [pytest.param(name, marks=pytest.mark.faults) for name in COMPILERS if name not in ("garbage", "hanging")]


@compiled
@pytest.mark.parametrize("name", ["garbage", "hanging", *MOST])
def test_a_compiler_that_misbehaves_leaves_torch_and_a_short_reason(status, cache, tmp_path, name):
    script, reason = COMPILERS[name]
    compiler = tmp_path / name
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    seconds = "1" if name == "hanging" else "60"
    output = status(PRINT_STATUS.replace("print", f"native.COMPILE_SECONDS = {seconds}; print"), CC=str(compiler))
    assert output.startswith("False ")
    assert reason in output
    assert len(output) < 300
    assert output.isprintable()
    assert list(cache.iterdir()) == []
    if name == "hanging":
        assert wait_until(lambda: not is_alive(int((tmp_path / "child").read_text())))


@compiled
def test_doctor_names_the_reason_and_the_way_out(status, cache):
    status()
    cache.parent.chmod(0o777)
    output = status(f"{SETUP}; from asyncrl import doctor; print(doctor.compiler())")
    assert "other users may write to" in output
    assert "XDG_CACHE_HOME" in output
