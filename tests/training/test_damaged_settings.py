"""A run.json whose settings were damaged is refused in one line, or read with what can be known."""

import json
import shutil

import pytest

from asyncrl import experiment
from asyncrl.store.document import read_document
from tests.runtime.setups import resolve


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a finished run."""
    config = resolve(frames=200, threads=1, evaluation={"episodes": 1})
    return experiment.train(config, tmp_path_factory.mktemp("results"), "one")


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy of the run."""
    return shutil.copytree(trained, tmp_path / "one")


def change(run, **settings):
    """Change settings of a run; None removes one."""
    document = read_document(run)
    changed = document["config"] | settings
    document["config"] = {name: value for name, value in changed.items() if value is not None}
    (run / "run.json").write_text(json.dumps(document))


@pytest.mark.parametrize("command", ["eval", "resume"])
@pytest.mark.parametrize("network", ["far", "a\x1b[31m\n[/b]", "nips", ""])
def test_run_with_a_wrong_network_is_refused_in_one_line(command_line, run, command, network):
    change(run, network=network)
    more = ["--frames", "400"] if command == "resume" else ["--episodes", "1"]
    code, _, err = command_line(command, "one", *more, "--results", str(run.parent))
    assert code == 2, err
    assert len(err.splitlines()) == 1
    assert "run.json cannot be used" in err


@pytest.mark.parametrize("name", ["network", "frames"])
def test_run_without_a_setting_is_evaluated_and_resumed(command_line, run, name):
    change(run, **{name: None})
    assert command_line("eval", "one", "--episodes", "1", "--results", str(run.parent))[0] == 0
    code, out, err = command_line("resume", "one", "--frames", "400", "--results", str(run.parent))
    assert code == 0, err
    assert "--frames 800" in out
