"""The view of a run where a write would block: nothing is written, and nothing waits."""

import os
import pty
import termios
import time
from contextlib import suppress

import pytest
from rich.console import Console

from asyncrl.system.output import Output
from asyncrl.terminal.live import live_view
from tests.terminal.test_live import CONFIG, PROGRESS

pytestmark = pytest.mark.timeout(20)


def test_lines_are_left_out_while_the_pipe_is_full():
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as file:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        with live_view(CONFIG, Console(file=Output(file), width=80)) as show:
            for _ in range(3):
                show(PROGRESS._replace(phase="done"))
            os.read(reader, 1 << 20)
            show(PROGRESS)
        assert b"12.3%" in os.read(reader, 1 << 20)
    os.close(reader)


def test_view_is_left_out_while_the_terminal_is_stopped():
    terminal, ours = pty.openpty()
    with open(ours, "w", encoding="utf-8") as file:
        termios.tcflow(ours, termios.TCOOFF)
        console = Console(file=Output(file), width=80, force_terminal=True, _environ={"TERM": "xterm"})
        with live_view(CONFIG, console) as show:
            show(PROGRESS)
            os.set_blocking(terminal, False)
            with pytest.raises(BlockingIOError):
                os.read(terminal, 1 << 16)
            termios.tcflow(ours, termios.TCOON)
            show(PROGRESS)
            # the text may come in several pieces
            shown = b""
            for _ in range(100):
                with suppress(BlockingIOError):
                    shown += os.read(terminal, 1 << 16)
                if b"412 in total" in shown:
                    break
                time.sleep(0.05)
            assert b"412 in total" in shown
    os.close(terminal)
