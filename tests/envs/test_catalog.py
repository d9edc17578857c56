"""``asyncrl envs``: the environments of this machine, filtered by a pattern, with their presets."""

import json
import subprocess
import sys

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled

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
    assert names("?artpole-v?") == ["CartPole-v1"]
    assert names("no such game") == []


def test_command_prints_names_by_kind_and_json(command_line):
    code, out, err = command_line("envs", "pole")
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["Vectors and states: 1 name, presets paper", "  CartPole-v1"]
    found = json.loads(command_line("envs", "CartPole-v1", "--json")[1])
    assert found[0] == {
        "name": "CartPole-v1", "kind": "vector", "presets": ["paper"], "is_installed": True, "problem": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("ALE/Pong-v5", ["Atari: 1 name, presets paper, fast", "  pong", "ALE/Pong-v5 is trained as 'pong': "]),
        ("ms. pac", ["Atari: 1 name, presets paper, fast", "  ms_pacman"]),
        (
            "MsPacmanDeterministic-v4",
            ["Atari: 1 name, presets paper, fast", "  ms_pacman", "MsPacmanDeterministic-v4 is"],
        ),
        ("CartPole-v0", ["Vectors and states: 1 name, presets paper", "  CartPole-v0"]),
        ("MinAtar/Breakout-v1", ["MinAtar: 1 name, presets paper, fast", "  MinAtar/Breakout-v1"]),
        ("tests.own_envs:Compass", ["Images: 1 name, presets paper", "  tests.own_envs:Compass"]),
    ],
)
def test_name_that_env_takes_is_answered(command_line, name, lines):
    code, out, err = command_line("envs", name)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(lines)
    assert all(line.startswith(start) for line, start in zip(out.splitlines(), lines, strict=True))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ponk", "There is no environment 'ponk'. Did you mean 'pong'?"),
        ("x*", "There is no environment 'x*'."),
        ("\x1b[2J", "There is no environment '"),
        ("Pong-ram-v4", "Pong-ram-v4 shows 128 bytes of memory in place of pictures, which is not supported"),
        ("Blackjack-v1", "Blackjack-v1 has the observation space Tuple"),
        ("nowhere:make", "Cannot import 'nowhere'"),
        ("tests.envs.wrong:NoSpaces", "has no observation_space"),
    ],
)
def test_name_that_cannot_be_trained_is_one_line_and_exit_code_2(command_line, name, message):
    code, out, err = command_line("envs", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "\x1b" not in err


def test_json_of_what_is_not_supported_has_the_reason(command_line):
    code, out, _ = command_line("envs", "Blackjack-v1", "--json")
    (found,) = json.loads(out)
    assert (code, found["kind"], found["is_installed"]) == (2, "unsupported", True)
    assert found["problem"].startswith("Blackjack-v1 has the observation space Tuple")
    assert [command_line("envs", "ponk", "--json")[i] for i in (0, 1)] == [2, "[]\n"]


def test_environment_without_its_package_names_the_extra(command_line, monkeypatch):
    monkeypatch.setattr(catalog, "find_spec", lambda name: None)
    code, out, _ = command_line("envs", "minatar/breakout")
    assert (code, out.splitlines()[1]) == (0, "  minatar/breakout")
    assert "; pip install 'asyncrl[minatar]'" in out


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            DependencyNotInstalled('MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`'),
            "needs mujoco: pip install 'asyncrl[mujoco]'.",
        ),
        (ModuleNotFoundError("No module named 'jax'"), "needs a package: No module named 'jax'."),
    ],
)
def test_registered_environment_without_its_package_names_what_it_needs(command_line, monkeypatch, error, problem):
    def make():
        raise error

    monkeypatch.setitem(gymnasium.registry, "Needy-v0", EnvSpec("Needy-v0", entry_point=make))
    code, out, _ = command_line("envs", "Needy-v0")
    assert (code, out.splitlines()) == (0, ["Packages are missing: 1 name", "  Needy-v0", f"    {problem}"])
    assert f"    {problem}" in command_line("envs")[1].splitlines()


def test_command_imports_no_torch():
    code = (
        "import sys\nfrom asyncrl.cli.app import main\ntry:\n    main(['envs', 'p'])\n"
        "finally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
