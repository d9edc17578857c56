"""A report whose panels several processes draw, struck meanwhile."""

import os
import signal
import sys

import pytest

from tests.faults.launch import group, launched
from tests.runtime.setups import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
DRAWS = """
from asyncrl.analysis import ink
from tests.analysis.test_ink import panel

if __name__ == "__main__":
    for _ in ink.draw_all([panel(number) for number in range(10_000)], 2):
        print("drawn", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_who_draws_ends_without_a_word_as_the_report_does(tmp_path, number):
    script, said = tmp_path / "draws.py", tmp_path / "said"
    script.write_text(DRAWS)
    with launched([sys.executable, str(script)], said) as process:
        assert wait_until(lambda: "drawn" in said.read_text(), 60)
        assert len(group(process.pid)) >= 3
        for pid in group(process.pid) if number == signal.SIGINT else [process.pid]:  # a terminal tells all of them
            os.kill(pid, number)
        process.wait(60)
        assert wait_until(lambda: not group(process.pid), 10)
    assert said.read_text().count("Traceback") == (number == signal.SIGINT)  # the script's own
