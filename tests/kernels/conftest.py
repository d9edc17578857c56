"""Fixtures of the kernels' tests."""

import pytest
import torch

from asyncrl.kernels import native, torso


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread, as an actor-learner does, unless a test sets another number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def plain(monkeypatch):
    """Return a function that switches the kernels off."""

    def switch():
        monkeypatch.setattr(native, "load", lambda: None)
        monkeypatch.setattr(torso, "load_kernels", lambda name: None)

    return switch
