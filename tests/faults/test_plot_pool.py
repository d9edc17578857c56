"""A report whose panels are drawn by several processes, with signals sent to them meanwhile."""

import os
import re
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.launch import group, launched
from tests.runtime.setups import children, is_at_work, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300), pytest.mark.usefixtures("nothing_left")]
PANELS = 600  # most of a minute
POINTS = 5_000  # half a megabyte: more than a pipe can store
SCRIPT = f"""
import re
import sys
from asyncrl.report import plot_pool
from tests.report.test_plot_pool import crowded

if __name__ == "__main__":
    plot_pool.RESULT_TIMEOUT = float(sys.argv[1])
    for drawing in plot_pool.draw_all([crowded(number, {POINTS}) for number in range({PANELS})], 2):
        print("drawn", re.search(rb"panel (\\d+)", drawing.svg)[1].decode(), flush=True)
"""


@contextmanager
def drawing_process(folder, timeout=60):
    """Start a process that draws panels in a pool of two; give it and the file of its output."""
    script, output = folder / "draw.py", folder / "output"
    script.write_text(SCRIPT)
    with launched([sys.executable, str(script), str(timeout)], output) as process:
        assert wait_until(lambda: len(children(process.pid)) == 2, 60)
        yield process, output


def drawn(output):
    return [int(number) for number in re.findall(r"drawn (\d+)", output.read_text())]


def is_blocked(pid, number):
    (blocked,) = re.findall(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(blocked, 16) >> (number - 1) & 1


def assert_draws_the_rest_alone(process, output):
    """The pool ends, and every panel is still drawn once and in order."""
    # RESULT_TIMEOUT counts from the result before, for which a busy machine may need a long time, too
    assert wait_until(lambda: not children(process.pid), 150)
    before = len(drawn(output))
    assert wait_until(lambda: len(drawn(output)) > before + 3, 60)
    assert drawn(output) == list(range(len(drawn(output))))
    assert "Traceback" not in output.read_text()


@pytest.mark.parametrize("is_drawing", [False, True])
def test_plot_pool_on_ctrl_c_ends_at_once_with_one_traceback(tmp_path, nothing_left, is_drawing):
    with drawing_process(tmp_path) as (process, output):
        assert all(is_blocked(pid, signal.SIGINT) for pid in children(process.pid))
        assert not is_drawing or wait_until(lambda: drawn(output), 60)
        for pid in group(process.pid):  # as a terminal does
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        assert wait_until(lambda: process.poll() is not None and not group(process.pid), 30)
        assert process.returncode != 0
        assert output.read_text().count("Traceback") <= 1  # the script's own


def test_plot_pool_whose_parent_was_killed_ends_without_files(tmp_path, nothing_left, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with drawing_process(tmp_path) as (process, output):
        assert wait_until(lambda: drawn(output), 60)
        process.kill()
        assert wait_until(lambda: not group(process.pid), 10)
        assert not list(tmp_path.glob("asyncrl-plots-*"))
        assert "Traceback" not in output.read_text()


@pytest.mark.parametrize(("killed", "is_parent_stopped"), [(1, False), (2, True)])
def test_plot_pool_with_killed_processes_is_replaced_by_the_parent(tmp_path, nothing_left, killed, is_parent_stopped):
    with drawing_process(tmp_path) as (process, output):
        assert wait_until(lambda: drawn(output), 60)
        workers = sorted(children(process.pid))
        if is_parent_stopped:  # it reads no result, so that the pipe of results would be full
            process.send_signal(signal.SIGSTOP)
            assert wait_until(lambda: not any(is_at_work(pid) for pid in workers), 20)
        for pid in workers[:killed]:
            os.kill(pid, signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        assert_draws_the_rest_alone(process, output)


def test_plot_pool_whose_processes_hang_is_replaced_by_the_parent(tmp_path, nothing_left):
    with drawing_process(tmp_path, timeout=25) as (process, output):
        assert wait_until(lambda: drawn(output), 60)
        for pid in children(process.pid):  # of two, one could be stopped between two panels: the other draws them all
            os.kill(pid, signal.SIGSTOP)
        assert_draws_the_rest_alone(process, output)
