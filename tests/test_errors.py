"""Exceptions that leave a run: their texts, and that another process can receive them."""

import pickle
from pathlib import Path

import pytest

from asyncrl.errors import STOPS, Exit, RunFailed, Stopped


@pytest.mark.parametrize("error", [RunFailed(Path("r"), "no room", Exit.DISK_FULL), Stopped(Path("r"), Exit.WARNED)])
def test_exceptions_survive_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_stopped_names_its_signal():
    texts = {str(Stopped(Path("r"), code)) for code in STOPS.values()}
    assert texts == {f"stopped by {name}" for name in ("Ctrl-C", "SIGTERM", "SIGHUP", "SIGUSR1")}
