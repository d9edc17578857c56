"""A report whose panels several processes draw, struck meanwhile."""

import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.launch import group, launched
from tests.runtime.setups import children, is_at_work, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]
PANELS = 600  # most of a minute
POINTS = 5_000  # half a megabyte: more than a pipe holds
DRAWS = f"""
import re
from asyncrl.analysis import press
from tests.report.test_plot_pool import crowded

if __name__ == "__main__":
    for drawing in press.draw_all([crowded(number, {POINTS}) for number in range({PANELS})], 2):
        print("drawn", re.search(rb"panel (\\d+)", drawing.svg)[1].decode(), flush=True)
"""


@pytest.fixture
def draws(tmp_path, nothing_left):
    """Start what draws; return its process, what starts its children, and what it says."""
    script, said = tmp_path / "draws.py", tmp_path / "said"
    script.write_text(DRAWS)
    with launched([sys.executable, str(script)], said) as process:
        assert wait_until(lambda: len(children(process.pid)) == 2, 60)
        yield process, said


def drawn(said):
    return [int(number) for number in re.findall(r"drawn (\d+)", said.read_text())]


def hears(pid, number):
    (blocked,) = re.findall(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return not int(blocked, 16) >> (number - 1) & 1


@pytest.mark.parametrize("is_drawing", [False, True])
def test_ctrl_c_ends_it_at_once_with_one_traceback(draws, is_drawing):
    process, said = draws
    assert not any(hears(pid, signal.SIGINT) for pid in children(process.pid))
    assert not is_drawing or wait_until(lambda: drawn(said), 60)
    for pid in group(process.pid):  # as a terminal does
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    assert wait_until(lambda: process.poll() is not None and not group(process.pid), 30)
    assert process.returncode != 0
    assert said.read_text().count("Traceback") <= 1  # the script's own


def test_nobody_draws_for_a_report_that_was_killed(draws):
    process, said = draws
    assert wait_until(lambda: drawn(said), 60)
    process.kill()
    assert wait_until(lambda: not group(process.pid), 10)
    assert "Traceback" not in said.read_text()


@pytest.mark.parametrize(("killed", "is_speaking"), [(1, False), (2, True)])
def test_where_one_who_draws_is_killed_the_report_draws_the_rest_itself(draws, killed, is_speaking):
    process, said = draws
    assert wait_until(lambda: drawn(said), 60)
    who = sorted(children(process.pid))
    if is_speaking:  # to a report that does not listen: what it says is cut off
        process.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: not any(is_at_work(pid) for pid in who), 20)
    for pid in who[:killed]:
        os.kill(pid, signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    assert wait_until(lambda: not children(process.pid), 20)
    before = len(drawn(said))
    assert wait_until(lambda: len(drawn(said)) > before + 3, 60)
    assert drawn(said) == list(range(len(drawn(said))))
    assert "Traceback" not in said.read_text()
