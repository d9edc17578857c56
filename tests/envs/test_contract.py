"""Environments that do not return what Gymnasium says: refused in one line, or trained with the fault named."""

import json
import os
import random
import signal
import subprocess
import sys
import warnings
from contextlib import suppress

import gymnasium
import numpy as np
import pytest
import torch

from asyncrl.config import Atari
from asyncrl.envs.make import describe
from asyncrl.envs.registry import Rom, parse_name
from asyncrl.errors import InputError
from tests.envs import wrong

SMALL = ("--threads", "1", "--set", "evaluation.episodes=0", "--set", "workers.restarts=0")


@pytest.fixture
def asyncrl(tmp_path, monkeypatch, command_line):
    """Return a function that runs a command line and returns its exit code, output and errors."""
    monkeypatch.delenv("ASYNCRL_RESULTS", raising=False)
    monkeypatch.setenv("ASYNCRL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    yield command_line
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", wrong.WRONG)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry"])
def test_run_of_a_wrong_environment_is_one_line_and_writes_nothing(asyncrl, tmp_path, name, dry):
    code, out, err = asyncrl("run", "--env", f"tests.envs.wrong:{name}", *SMALL, *dry)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert wrong.WRONG[name][1] in err
    assert len(err) < 600
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", wrong.RIGHT)
def test_dry_run_of_an_environment_with_values_that_can_be_cast_passes(asyncrl, name):
    assert asyncrl("run", "--env", f"tests.envs.wrong:{name}", *SMALL, "--dry-run")[::2] == (0, "")


def test_dry_run_with_a_float_outside_its_bounds_warns_once(asyncrl):
    code, _, err = asyncrl("run", "--env", "tests.envs.wrong:outside", *SMALL, "--dry-run")
    assert code == 0
    assert err.count("\n") == 1
    assert "Given (tests/envs/wrong.py) is outside its observation_space: number 0 is 2, its bounds are -1 and 1" in err


@pytest.mark.parametrize("name", ["float64", "nan", "reward_nan", "many_states", "step_raises"])
def test_describe_closes_the_environment_that_it_made(name):
    closed = wrong.Given.closed
    with suppress(InputError):
        describe(f"tests.envs.wrong:{name}", Atari())
    assert wrong.Given.closed == closed + 1


def test_describe_leaves_global_random_numbers_as_they_were():
    def drawn():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = drawn()
    describe("tests.envs.wrong:draws", Atari())
    assert drawn() == before


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import argparse\nargparse.ArgumentParser(prog='p').parse_args(['--a'])", "unrecognized arguments: --a"),
        ("import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args([])", "required: x"),
        ("import sys\nsys.exit()", "it called sys.exit() (outside_module.py:2)"),
        ("raise SystemExit('no licence')", "it called sys.exit('no licence')"),
        ("raise GeneratorExit", "GeneratorExit (outside_module.py:1)"),
        ("class Mine(BaseException): pass\nraise Mine('why')", "Mine: why (outside_module.py:2)"),
        ("raise ValueError('\\n\\n')", "ValueError (outside_module.py:1)"),
        ("def make(:", "SyntaxError"),
    ],
)
def test_run_of_a_module_that_cannot_be_imported_is_one_line(asyncrl, tmp_path, monkeypatch, text, named):
    (tmp_path / "outside_module.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside_module", raising=False)
    code, out, err = asyncrl("run", "--env", "outside_module:make", "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("asyncrl: Cannot import 'outside_module': ")
    assert named in err


MODULE = """
import gymnasium
from tests.toys import Corridor
gymnasium.register("{id}", Corridor, max_episode_steps=20)
"""


@pytest.mark.parametrize(
    ("id", "asked"),
    [("Maze-v0", "Maze-v0"), ("mazes/Maze-v1", "mazes/Maze-v1"), ("My-Maze-v2", "My-Maze"), ("Plain", "Plain")],
)
def test_dry_run_of_module_and_id_makes_what_the_import_registers(asyncrl, tmp_path, monkeypatch, id, asked):
    (tmp_path / "maze_module.py").write_text(MODULE.format(id=id))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry)
    monkeypatch.delitem(sys.modules, "maze_module", raising=False)
    code, out, err = asyncrl("run", "--env", f"maze_module:{asked}", "--dry-run", "--json")
    gymnasium.registry.pop(id)
    assert code == 0, err
    assert json.loads(out)["env"] == f"maze_module:{asked}"


def test_dry_run_of_module_and_unknown_id_names_the_nearest(asyncrl, tmp_path, monkeypatch):
    (tmp_path / "typo_module.py").write_text(MODULE.format(id="Labyrinth-v0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, err = asyncrl("run", "--env", "typo_module:Labyrint-v0", "--dry-run")
    gymnasium.registry.pop("Labyrinth-v0")
    assert code == 2
    assert "registers no Gymnasium id 'Labyrint-v0'. Did you mean 'Labyrinth-v0'?" in err


def test_module_and_id_of_an_atari_game_is_the_game():
    assert parse_name("ale_py:ALE/Pong-v5") == Rom("pong")


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("PongDeterministic-v7", "pong"),
        ("ale/space_invaders-v6", "space_invaders"),
        ("Breakout-v7", "breakout"),
    ],
)
def test_run_of_another_spelling_of_a_game_names_the_game(asyncrl, name, game):
    code, _, err = asyncrl("run", "--env", name, "--dry-run")
    assert code == 2
    assert f"Did you mean '{game}'?" in err


@pytest.mark.timeout(100)
def test_run_with_nan_in_a_later_step_ends_with_one_line_and_names_the_class(asyncrl, tmp_path, nothing_left):
    code, _, err = asyncrl("run", "--env", "tests.envs.wrong:late_nan", *SMALL, "--frames", "3k", "--name", "one")
    assert code == 4
    assert err.count("\n") == 1
    assert "step() of Given (tests/envs/wrong.py) returned an observation with NaN or an infinity" in err
    document = json.loads((tmp_path / "results/one/run.json").read_text())
    assert document["status"] == "failed"
    assert document["updates"] > 0


@pytest.mark.faults
@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("late_shape", "returned an observation of shape (4,)"),
        ("late_four", "returned 4 values"),
        ("late_base", "Base: stop"),
    ],
)
def test_run_with_a_wrong_value_in_a_later_step_fails_and_names_it(
    asyncrl, tmp_path, faults, nothing_left, slow_start, name, named
):
    faults.inject("a wrong value from an environment's later step")
    code, _, err = asyncrl("run", "--env", f"tests.envs.wrong:{name}", *SMALL, "--frames", "3k")
    assert code == 4
    assert err.count("\n") == 1
    assert named in err
    faults.survive("a wrong value from an environment's later step")


@pytest.mark.timeout(100)
def test_run_without_an_applied_update_is_no_success(asyncrl, tmp_path, nothing_left):
    settings = ("--frames", "100", "--name", "one", "--set", "t_max=20")
    code, _, err = asyncrl("run", "--env", "tests.envs.wrong:late_rewards", *SMALL, *settings)
    assert code == 4
    assert err.count("\n") == 1
    assert "nothing was learned: no update was applied" in err
    document = json.loads((tmp_path / "results/one/run.json").read_text())
    assert (document["status"], document["updates"]) == ("failed", 0)
    assert document["skipped"] > 0


SHAPES = """
import gymnasium, numpy as np
from gymnasium import spaces
from tests.envs.wrong import Given, Raises
class Shown(Given):
    metadata = {{"render_modes": ["rgb_array"], "render_fps": 5}}
    render_mode = "rgb_array"
    def render(self):
        return np.zeros((16, 16, 3), np.uint8)
class Breaking(Shown, Raises):
    pass
def make():
    return {factory}
"""
BEFORE = "Shown()"
BREAKING = "Breaking(ValueError('no map'), late=8)"
CHANGED = {
    "a longer vector": "Shown(np.zeros(4), spaces.Box(-1, 1, (4,)))",
    "more actions": "Shown(actions=spaces.Discrete(3))",
    "images": "Shown(np.zeros((36, 36, 3)), spaces.Box(0, 255, (36, 36, 3), np.uint8))",
}


@pytest.fixture(scope="module")
def changeable(tmp_path_factory):
    """Return a directory with a module of an environment, ``changes``, and a finished run of it."""
    place = tmp_path_factory.mktemp("changes")
    (place / "changes.py").write_text(SHAPES.format(factory=BEFORE))
    command = [sys.executable, "-m", "asyncrl", "run", "--env", "changes:make", *SMALL, "--frames", "100"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([*command, "--name", "one"], cwd=place, env=environment, check=True, timeout=100)
    return place


@pytest.mark.timeout(100)
def test_commands_on_a_run_whose_environment_raises_later_are_one_line(asyncrl, changeable, monkeypatch):
    (changeable / "changes.py").write_text(SHAPES.format(factory=BREAKING))
    monkeypatch.syspath_prepend(str(changeable))
    for command in (("eval", "--episodes", "20"), ("record", "--episodes", "20", "--out", str(changeable / "x.gif"))):
        monkeypatch.delitem(sys.modules, "changes", raising=False)
        code, out, err = asyncrl(command[0], str(changeable / "results/one"), *command[1:])
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "changes:make failed: ValueError: no map (" in err


def content(run):
    """Return the content of a run's files, except that of its lock."""
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "lock"}


@pytest.mark.timeout(100)
@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("change", CHANGED)
def test_commands_on_a_run_whose_environment_has_other_spaces_are_one_line(
    asyncrl, changeable, monkeypatch, change, is_old
):
    run = changeable / "results/one"
    whole = (run / "run.json").read_text()
    (changeable / "changes.py").write_text(SHAPES.format(factory=CHANGED[change]))
    monkeypatch.syspath_prepend(str(changeable))
    if is_old:
        old = json.loads(whole)
        del old["spaces"]
        (run / "run.json").write_text(json.dumps(old))
    before = content(run)
    for command in (("resume", "--frames", "200"), ("eval", "--episodes", "1"), ("record",)):
        monkeypatch.delitem(sys.modules, "changes", raising=False)
        code, out, err = asyncrl(command[0], str(run), *command[1:])
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "changes:make has" in err or "observations have shape" in err
    assert content(run) == before
    (run / "run.json").write_text(whole)
