"""Commands whose output loses its reader, or whose encoding lacks a character, in processes of their own."""

import os
import subprocess
import sys

import pytest

from asyncrl.errors import Exit
from tests.limits import full
from tests.past import make_run

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def start(arguments, folder, redirect="", **environment):
    """Run a command line through a shell that redirects its streams; return what both shells' streams got."""
    line = f"exec {sys.executable} -m asyncrl {' '.join(arguments)} {redirect}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, timeout=100, env=ENVIRONMENT | environment
    )


def start_without_reader(arguments, folder):
    """Run a command line whose output is a pipe that has no reader."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "asyncrl", *arguments]
        return subprocess.run(
            command, cwd=folder, stdout=writer, stderr=subprocess.PIPE, timeout=100, env=ENVIRONMENT, check=False
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", [["ls"], ["show", "--json"], ["--help"], ["export", "--format", "csv"]])
def test_command_without_a_reader_ends_quietly_and_does_its_work(tmp_path, arguments):
    make_run(tmp_path / "results", "mine")
    done = start_without_reader(arguments, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    if arguments[0] == "export":
        assert len(list((tmp_path / "export").iterdir())) >= 5


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_with_closed_streams_ends_quietly(tmp_path, redirect):
    make_run(tmp_path / "results", "mine")
    done = start(["show"], tmp_path, redirect)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"mine" in done.stdout) == (">&-" not in redirect.split())
    assert start(["show", "other"], tmp_path, redirect).returncode == Exit.BAD_INPUT


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1:strict"])
def test_encoding_without_a_character_gets_a_similar_one_or_its_code(tmp_path, encoding):
    run = make_run(tmp_path / "results", "Zürich-パ")
    (run / "evaluations.jsonl").unlink()
    done = start(["ls"], tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    name = {"a": "Z\\u00fcrich-\\u30d1", "l": "Zürich-\\u30d1"}[encoding[0]].encode("latin-1")
    assert name in done.stdout
    assert done.stdout.split()[-4] == b"-"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_under_the_output_of_a_command_is_one_line_and_exit_code_5(tmp_path, unbuffered):
    make_run(tmp_path / "results", "mine")
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "asyncrl", "show"]
        environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
        with full(10):
            done = subprocess.run(
                command, cwd=tmp_path, stdout=log, stderr=subprocess.PIPE, timeout=100, env=environment, check=False
            )
    assert (done.returncode, done.stderr) == (Exit.DISK_FULL, b"asyncrl: Cannot write: File too large.\n")
