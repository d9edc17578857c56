import errno
import os
import pty
import subprocess
import sys
import termios
from contextlib import contextmanager, suppress

import pytest

from asyncrl.system import output
from asyncrl.system.output import Output, is_ready
from tests.limits import full


@contextmanager
def pipe():
    """Yield a reader's descriptor and the file of a writer."""
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as file:
        yield reader, file


def test_output_whose_reader_has_left_drops_all_further_text():
    with pipe() as (reader, file):
        out = Output(file)
        out.write("one\n")
        out.flush()
        assert os.read(reader, 9) == b"one\n"
        os.close(reader)
        for _ in range(3):
            out.write("x" * 100_000)
            out.writelines(["two\n", "three\n"])
            out.flush()
        assert os.write(file.fileno(), b"of a C library") == 14
        assert out.error is None


def test_output_of_a_closed_terminal_drops_all_further_text():
    terminal, ours = pty.openpty()
    with open(ours, "w", encoding="utf-8") as file:
        out = Output(file)
        assert out.isatty()
        os.close(terminal)
        for _ in range(3):
            out.write("x\n")
            out.flush()
        assert out.error is None


def test_output_whose_descriptor_was_closed_drops_text():
    with pipe() as (reader, file):
        out = Output(file)
        os.close(file.fileno())
        for _ in range(2):
            out.write("x")
            out.flush()
        os.close(reader)
        assert out.error is None


def test_output_whose_stream_was_closed_drops_text():
    with pipe() as (reader, file):
        out = Output(file)
        file.close()
        out.write("x")
        out.flush()
        os.close(reader)


def test_output_in_a_file_without_room_keeps_the_first_error(tmp_path):
    with (tmp_path / "log").open("w") as file:
        out = Output(file)
        with full(100):
            for _ in range(9):
                out.write("x" * 50)
                out.flush()
        assert out.error.errno == errno.EFBIG
        out.flush()


def test_failure_is_the_error_of_standard_output_unless_it_is_forgiven(tmp_path, monkeypatch):
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", None)
        output.guard()
        with full(10):
            print("x" * 50)
            assert output.failure().errno == errno.EFBIG
            output.forgive()
            print("x" * 50)
            assert output.failure() is None


def test_guard_replaces_a_missing_stream_and_leaves_a_guarded_one(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.guard()
    first = sys.stdout
    print("nowhere")
    print("nowhere", file=sys.stderr)
    output.guard()
    assert sys.stdout is first
    assert output.failure() is None


def test_pipe_is_ready_until_it_is_full_and_again_when_it_is_read():
    with pipe() as (reader, file):
        assert is_ready(file)
        os.set_blocking(file.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(file.fileno(), b"x" * 4096)
        assert not is_ready(file)
        os.read(reader, 1 << 20)
        assert is_ready(file)
        os.close(reader)
        assert is_ready(file)  # a write returns at once, with an error


def test_terminal_is_not_ready_while_it_is_stopped():
    terminal, ours = pty.openpty()
    with open(ours, "w", encoding="utf-8") as file:
        assert is_ready(file)
        termios.tcflow(ours, termios.TCOOFF)  # as Ctrl-S does
        assert not is_ready(file)
        termios.tcflow(ours, termios.TCOON)
        assert is_ready(file)
        os.close(terminal)


@pytest.mark.parametrize("redirect", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_guard_opens_closed_descriptors_so_that_no_file_gets_their_numbers(tmp_path, redirect):
    code = "from asyncrl.system import output; output.guard(); f = open('number', 'w'); f.write(str(f.fileno()))"
    line = f'exec {sys.executable} -c "{code}" {redirect}'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, timeout=60, check=False)
    assert done.returncode == 0
    assert int((tmp_path / "number").read_text()) > 2
