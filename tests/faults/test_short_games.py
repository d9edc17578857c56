"""Episodes of one step in many environments: rows, memory and the end of the run keep up with them."""

import os
import signal

import pytest

from asyncrl.store.document import read_document
from asyncrl.store.rows import read_rows
from tests.faults.launch import arguments, launched
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ENOUGH = 100  # MB that a parent's memory may grow by; without bounds it grows by more within seconds


def resident(pid):
    """Return the megabytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.parametrize(("threads", "envs"), [(4, 8), (1, 64), (2, 1)])
def test_one_step_games_are_all_written_and_the_run_can_be_stopped(tmp_path, threads, envs):
    settings = (f"envs_per_thread={envs}", "checkpoints.every=5000")
    command = arguments(tmp_path, "mine", *settings, env="tests.runtime.toys:OneStep", threads=threads)
    run = tmp_path / "mine"
    with launched(command, tmp_path / "said") as process:
        assert wait_until(lambda: len(read_rows(run, "metrics")) > 1, seconds=120)
        before = resident(process.pid)
        assert wait_until(lambda: len(read_rows(run, "metrics")) > 10, seconds=60)
        assert wait_until(lambda: any(run.glob("checkpoints/0*")), seconds=60)
        assert resident(process.pid) < before + ENOUGH
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    games = read_rows(run, "episodes")
    assert len(games) == sum(game["length"] for game in games) == read_document(run)["steps"]
    assert len({game["worker"] for game in games}) == threads
