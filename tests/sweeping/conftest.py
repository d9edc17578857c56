import pytest
import tomli_w

from asyncrl.sweeping import run as sweeping
from asyncrl.sweeping.declaration import parse
from tests.sweeping.fakes import FakeExecutor


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that trains a sweep of some tables in ``s`` with a fake executor.

    Names of the cells that were started are in ``train.started``, by the directory of their sweep.
    """

    class Executor(FakeExecutor):
        def __init__(self, jobs=None):
            super().__init__(**train.behaviour)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def submit(self, task):
            train.started.setdefault(task.root.name, []).append(task.name)
            super().submit(task)

    def train(table, **options):
        request = sweeping.Request(parse(table), tomli_w.dumps(table), tmp_path / "s")
        return sweeping.run(request, lambda progress: None, sweeping.Options(**options))

    train.started, train.behaviour = {}, {}
    monkeypatch.setattr(sweeping, "LocalProcesses", Executor)
    return train
