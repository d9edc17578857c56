"""Compiling, caching and loading the library, in new processes."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncrl.kernels import native
from tests.kernels.setups import compiled


def test_load_with_a_compiler_and_avx2_succeeds():
    if shutil.which("cc") and "avx2" in Path("/proc/cpuinfo").read_text() and os.environ.get("ASYNCRL_NATIVE") != "0":
        assert native.status() == native.IN_USE


PRINT_STATUS = "print(native.load() is not None, native.status())"


@pytest.fixture
def in_new_process(tmp_path):
    """Return a function that runs code in a new process with a new home directory; ``built`` lists its files."""

    def run(code=PRINT_STATUS, **changes):
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": "."} | changes
        variables = {name: value for name, value in variables.items() if value is not None}
        command = [sys.executable, "-c", f"from asyncrl.kernels import native\n{code}"]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.strip()

    run.built = lambda: [(file, file.stat().st_mtime_ns) for file in (tmp_path / ".cache" / "asyncrl").iterdir()]
    return run


@compiled
def test_load_in_two_processes_builds_once(in_new_process):
    found = []
    for _ in range(2):
        assert in_new_process() == f"True {native.IN_USE}"
        found.append(in_new_process.built())
    assert len(found[0]) == 1
    assert found[0] == found[1]


@compiled
@pytest.mark.faults
def test_load_in_concurrent_processes_leaves_one_file(in_new_process):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: in_new_process(), range(4))) == [f"True {native.IN_USE}"] * 4
    assert len(in_new_process.built()) == 1


@compiled
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ASYNCRL_NATIVE": "0"}, "switched off by ASYNCRL_NATIVE=0"),
        ({"CC": "no-such-compiler"}, "no C compiler"),
        ({"CC": "false"}, "false failed"),
        ({"XDG_CACHE_HOME": "/proc/nowhere"}, "No such file or directory"),
        ({"CC": "cc -march=x86-64"}, "no AVX2"),
    ],
)
def test_status_without_a_library_returns_the_reason(in_new_process, changes, reason):
    if "march" in changes.get("CC", ""):  # -march=native in FLAGS would override it
        code = f"native.FLAGS = native.FLAGS[:1] + native.FLAGS[2:]\n{PRINT_STATUS}"
        output = in_new_process(code, **changes)
    else:
        output = in_new_process(**changes)
    assert output.startswith("False ")
    assert reason in output


@pytest.mark.faults
@compiled
@pytest.mark.parametrize("changes", [{"CC": ""}, {"CC": "cc -m64"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_load_with_other_compiler_commands_and_locales_succeeds(in_new_process, changes):
    assert in_new_process(PYTHONCOERCECLOCALE="0", **changes) == f"True {native.IN_USE}"


@compiled
def test_load_of_a_broken_source_returns_none(in_new_process, tmp_path):
    source = tmp_path / "broken.c"
    source.write_text("int f( {")
    output = in_new_process(f"import pathlib; native.SOURCE = pathlib.Path({str(source)!r})\n{PRINT_STATUS}")
    assert output.startswith("False ")
    assert "error" in output
    assert in_new_process.built() == []
