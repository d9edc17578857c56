"""The view of a run is lost while it trains: the run goes on, and its exit code and files are right."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager

import pytest

from asyncrl.store.checkpoint import load
from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments, group, heed_signals
from tests.limits import full
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900), pytest.mark.usefixtures("nothing_left")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TERM": "xterm"}
LIMIT = 2**31  # bytes of a file
SECONDS = 200  # for a short run beside other work


def run_in_shell(words, redirect):
    line = " ".join(words) + " " + redirect
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=SECONDS, env=ENVIRONMENT
    )


def assert_finished(run, frames):
    document = read_document(run)
    assert document["status"] == "finished"
    assert document["frames"] >= frames
    assert load(run).step >= frames
    assert not read_rows(run, "failures")


@pytest.mark.parametrize("redirect", ["| head -1", "2>&1 | head -3", "| true", ">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("env", ["tests.toys:Corridor", "tests.faults.toys:Talkative"])
def test_run_whose_output_is_lost_finishes_with_exit_code_0(faults, tmp_path, redirect, env):
    if not faults.times(redirect in ("2>&1 | head -3", "<&- >&- 2>&-") and "Talk" in env, True):
        pytest.skip("at full length only")
    faults.inject("the reader of a run's output leaves, or a stream is closed")
    words = arguments(tmp_path, "mine", "evaluation.episodes=1", env=env, frames="3k")
    done = run_in_shell(words, redirect)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stdout + done.stderr
    assert_finished(tmp_path / "mine", 3_000)
    faults.survive("the reader of a run's output leaves, or a stream is closed")


def test_run_whose_log_is_on_a_full_disk_finishes_with_exit_code_0(faults, tmp_path):
    faults.inject("the disk of a run's log is full")
    with (tmp_path / "log").open("w") as log:
        # Only the log has no room: it is sparse, and longer than any other file of the run.
        log.truncate(LIMIT)
        log.seek(LIMIT)
        with full(LIMIT):
            words = arguments(tmp_path, "mine", frames="2k")
            done = subprocess.run(words, stdout=log, stderr=log, timeout=SECONDS, env=ENVIRONMENT, check=False)
    assert done.returncode == 0
    assert_finished(tmp_path / "mine", 2_000)
    faults.survive("the disk of a run's log is full")


@contextmanager
def on_terminal(words, ignores_hangup):
    """Start a command on a terminal of its own; yield its process number and the terminal's other end."""
    process, terminal = pty.fork()
    if process == 0:
        heed_signals()
        if ignores_hangup:  # as nohup does
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.execve(words[0], words, ENVIRONMENT)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield process, terminal
    finally:
        for pid in group(process):
            os.kill(pid, signal.SIGKILL)


def read_until(terminal, wanted):
    """Read what a command shows, also while nothing is expected, until a text has come."""
    shown, has_come = bytearray(), threading.Event()

    def read():
        try:
            while not has_come.is_set():
                shown.extend(os.read(terminal, 65_536))
                if wanted in shown:
                    has_come.set()
        except OSError:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert has_come.wait(SECONDS)
    thread.join(5)


def wait_for_exit(process):
    """Return the exit code of a child process; fail where it does not end."""
    ended = []

    def has_ended():
        pid, status = os.waitpid(process, os.WNOHANG)
        ended.extend([os.waitstatus_to_exitcode(status)] * (pid == process))
        return bool(ended)

    assert wait_until(has_ended, SECONDS)
    return ended[0]


@pytest.mark.parametrize("ignores_hangup", [False, True])
def test_terminal_that_is_closed_under_the_live_view_stops_the_run_by_sighup_only(faults, tmp_path, ignores_hangup):
    fault = "the terminal is closed under the live view" + ", with SIGHUP ignored" * ignores_hangup
    for i in range(faults.times(1, 5)):
        run, frames = tmp_path / f"run-{i}", "6k" if ignores_hangup else "1G"
        words = arguments(tmp_path, run.name, frames=frames)
        with on_terminal(words, ignores_hangup) as (process, terminal):
            read_until(terminal, b"frames/s")
            faults.inject(fault)
            os.close(terminal)
            code = wait_for_exit(process)
        assert code == (0 if ignores_hangup else 129)
        assert read_document(run)["status"] == ("finished" if ignores_hangup else "interrupted")
        assert read_document(run)["reason"] == (None if ignores_hangup else "SIGHUP")
        assert load(run).step > 0
        faults.survive(fault)
