"""Processes that several threads start at once."""

import os
import threading

import pytest

from asyncrl.runtime.spawn import CONTEXT, LIBRARY_VARIABLES, THREAD_VARIABLES, start

THREADS = 4


def send_variables(connection):
    """Send the values of the variables that a child gets."""
    connection.send([os.environ.get(name) for name in (*THREAD_VARIABLES, *LIBRARY_VARIABLES)])


# It starts many processes.
@pytest.mark.faults
@pytest.mark.usefixtures("nothing_left")
def test_start_in_several_threads_gives_each_child_its_variables_and_keeps_those_here(monkeypatch):
    for name in (*THREAD_VARIABLES, *LIBRARY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    before, barrier = dict(os.environ), threading.Barrier(THREADS)
    variables = {}

    def run(number):
        ours, theirs = CONTEXT.Pipe(duplex=False)
        barrier.wait()
        process = start(send_variables, (theirs,), f"asyncrl-{number}", number)
        variables[number] = ours.recv()
        process.join()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, THREADS + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    expected = {n: [str(n)] * len(THREAD_VARIABLES) + list(LIBRARY_VARIABLES.values()) for n in range(1, THREADS + 1)}
    assert variables == expected
    assert dict(os.environ) == before
