"""``asyncrl envs``: the environments of this machine, filtered by a pattern, with their presets."""

import json
import subprocess
import sys

import pytest

from asyncrl.config import RunConfig
from asyncrl.envs import catalog
from asyncrl.envs.make import spec_of
from asyncrl.envs.registry import canonical, kind


def names(pattern=""):
    return [each.name for each in catalog.environments(pattern)]


def test_all_kinds_are_listed_with_their_presets():
    found = {each.name: each for each in catalog.environments()}
    assert {"pong", "ms_pacman", "minatar/space_invaders", "CartPole-v1", "Pendulum-v1", "FrozenLake-v1"} <= set(found)
    assert len([each for each in found.values() if each.kind == "atari"]) > 100
    assert found["pong"].presets == found["minatar/breakout"].presets == ("paper", "fast")
    assert found["CartPole-v1"].presets == found["Pendulum-v1"].presets == ("paper",)
    # an older version, another spelling of a game, and observations that are a tuple
    assert not {"CartPole-v0", "ALE/Pong-v5", "PongNoFrameskip-v4", "Blackjack-v1"} & set(found)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "pong"])
def test_listed_kind_is_that_of_the_environment_itself(name):
    (listed,) = [each for each in catalog.environments(name) if each.name == name]
    assert listed.kind == kind(name, spec_of(RunConfig(env=name)))
    assert canonical(name) == name


def test_pattern_is_a_part_of_a_name_or_has_wildcards():
    assert names("BREAKOUT") == ["breakout", "minatar/breakout"]
    assert names("minatar/*s*r*") == ["minatar/asterix", "minatar/space_invaders"]
    assert names("*pole-v?") == ["CartPole-v1"]
    assert names("no such game") == []


def test_command_prints_names_by_kind_and_json(command_line, monkeypatch):
    code, out, err = command_line("envs", "pole")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["Vectors and states: 1 name, presets paper", "  CartPole-v1"]
    found = json.loads(command_line("envs", "pole", "--json")[1])
    assert found == [{"name": "CartPole-v1", "kind": "vector", "presets": ["paper"], "is_installed": True}]
    code, out, _ = command_line("envs", "\x1b[2J")
    assert code == 0
    assert "\x1b" not in out
    assert out.startswith("No environment has")
    monkeypatch.setattr(catalog, "find_spec", lambda name: None)
    assert "; pip install 'asyncrl[minatar]'" in command_line("envs", "minatar")[1]


def test_command_imports_no_torch():
    code = (
        "import sys\nfrom asyncrl.cli.app import main\ntry:\n    main(['envs', 'p'])\n"
        "finally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
