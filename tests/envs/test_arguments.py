"""Arguments of environments: --env-arg, their place in run.json, and the commands that use them again."""

import json
import tomllib

import pytest

import asyncrl
from asyncrl.analysis.identity import identity
from asyncrl.config import RunConfig, build
from asyncrl.envs.make import spec_of
from asyncrl.errors import InputError
from asyncrl.store.settings import config_of
from asyncrl.sweeping.declaration import parse
from asyncrl.sweeping.plan import expand
from tests.past import make_run

WALK = "tests.own_envs:Walk"
SHORT = ("--threads", "1", "--frames", "300", "--set", "evaluation.episodes=1")


@pytest.fixture
def command(tmp_path, monkeypatch, command_line):
    """Return a function that runs a command line in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return command_line


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings = {"threads": 1, "frames": 200, "progress": False, "evaluation": {"episodes": 0}}
    results, args = tmp_path_factory.mktemp("results"), {"size": 9, "bonus": 2.0}
    return asyncrl.train("a3c", WALK, results=results, name="walk", env_args=args, **settings)


def test_env_arg_takes_literals_and_texts_and_prints_them_as_toml(command, tmp_path):
    given = ("size=9", "bonus=1.5", "goal=left", 'colours=["red", 3, true]')
    options = [word for each in given for word in ("--env-arg", each)]
    code, printed, err = command("run", "--env", WALK, *options, "--dry-run")
    assert code == 0, err
    assert tomllib.loads(printed)["env_args"] == {
        "size": 9, "bonus": 1.5, "goal": "left", "colours": ["red", 3, True]
    }  # fmt: skip
    (tmp_path / "walk.toml").write_text(printed)
    assert command("run", "--config", "walk.toml", "--dry-run")[1] == printed
    code, changed, _ = command("run", "--config", "walk.toml", "--env-arg", "size=5", "--dry-run", "--json")
    assert json.loads(changed)["env_args"] == tomllib.loads(printed)["env_args"] | {"size": 5}


def test_arguments_reach_gymnasium_make():
    small, large = (spec_of(build({"env": "FrozenLake-v1", "env_args": args})) for args in ({}, {"map_name": "8x8"}))
    assert (small.obs_shape, large.obs_shape) == ((16,), (64,))


def test_arguments_reach_an_id_that_a_module_registers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "registers_walk.py").write_text(
        "import gymnasium\ngymnasium.register('Walk-v3', 'tests.own_envs:Walk', kwargs={'size': 4})\n"
    )
    names = {"env": "registers_walk:Walk-v3", "env_args": {"bonus": 2.0}}
    assert spec_of(build(names)).obs_shape == (4,)
    assert spec_of(build(names | {"env_args": {"size": 7}})).obs_shape == (7,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--env-arg", "sise=9"), "got an unexpected keyword argument 'sise'"),
        ((), "missing 1 required positional argument: 'size'"),
        (("--env-arg", "size=9", "--env-arg", "goal=up"), "ValueError: goal is 'up', not left or right"),
        (("--env-arg", "size"), "--env-arg takes NAME=VALUE, as in --env-arg map_name=8x8; got 'size'"),
        (("--env-arg", "si-ze=9"), "env_args has a name that is not a Python identifier"),
        (("--env-arg", "size={a=1}"), "env_args.size should be a number, a text, true or false, or a list of these"),
        (("--env-arg", "size=1979-05-27"), "env_args.size should be a number, a text"),
        (("--env-arg", "size=inf"), "env_args.size should hold finite numbers"),
        (("--env-arg", f"size={10**400}"), "env_args.size can have at most 1,000 values"),
        (("--env-arg", f"size={'x' * 2000}"), "env_args.size can have at most 1,000 values"),
        (("--env-arg", f"size={[0] * 2000}"), "env_args.size can have at most 1,000 values"),
        (("--env-arg", "size=" + "[" * 20 + "]" * 20), "env_args.size should be a number, a text"),
        (("--env", "pong", "--env-arg", "frameskip=1"), "pong takes no arguments, so leave out env_args.frameskip"),
        (
            ("--env", "minatar/breakout", "--env-arg", "sticky_action_prob=0"),
            "minatar/breakout takes no arguments, so leave out env_args.sticky_action_prob",
        ),
        (("--env", "CartPole-v1", "--env-arg", "gravity=1"), "Cannot make CartPole-v1: TypeError"),
    ],
)
def test_wrong_arguments_are_one_line_and_nothing_is_written(command, tmp_path, words, message):
    words = words if "--env" in words else ("--env", WALK, *words)
    code, out, err = command("run", *words, *SHORT)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert not list(tmp_path.iterdir())


def test_run_keeps_arguments_and_every_command_uses_them_again(command, trained):
    document = json.loads((trained.path / "run.json").read_text())
    assert document["config"]["env_args"] == {"size": 9, "bonus": 2.0}
    assert document["spaces"] == "observations float32 [9], 2 actions"
    policy = trained.load("last")
    env = policy.make_env(goal="left")
    assert (env.unwrapped.size, env.unwrapped.bonus, env.unwrapped.goal) == (9, 2.0, "left")
    assert policy.act(env.reset(seed=1)[0]) in (0, 1)
    for words in (("eval", "--episodes", "2"), ("record", "--out", "walk.gif"), ("resume", "--frames", "300")):
        code, _, err = command(words[0], str(trained.path), *words[1:])
        assert code == 0, err
    code, out, _ = command("ls", "--results", str(trained.path.parent), "--where", "env_args.size=9", "--json")
    assert [run["id"] for run in json.loads(out)] == ["walk"]
    assert "no run" in command("ls", "--results", str(trained.path.parent), "--where", "env_args.size>9")[1].lower()
    assert "env_args.size" in command("show", str(trained.path))[1]


def test_resume_with_other_arguments_than_trained_is_refused(command, trained):
    file = trained.path / "run.json"
    whole = file.read_text()
    document = json.loads(whole)
    for changed in ({"size": 9, "bonus": 3.0}, {"size": 9}, {"size": 9, "bonus": 2.0, "goal": "left"}):
        document["config"]["env_args"] = changed
        file.write_text(json.dumps(document))
        code, _, err = command("resume", str(trained.path), "--frames", "9k")
        assert code == 2, err
        assert "was trained with other settings than its run.json has: env_args." in err
    file.write_text(whole)


def test_settings_of_a_version_without_arguments_are_those_without_any(tmp_path):
    config = RunConfig(env="CartPole-v1")
    run = make_run(tmp_path, "old", config=config)
    document = json.loads((run / "run.json").read_text())
    del document["config"]["env_args"]
    (run / "run.json").write_text(json.dumps(document))
    assert config_of(run) == config
    assert identity(document["config"], document) == identity(config.model_dump(mode="json"), document)


def cells(text):
    return expand(parse(tomllib.loads(text)))


def test_cells_differ_in_arguments_and_old_ones_keep_their_names():
    base = f'[base]\nenv = "{WALK}"\nframes = 300\n'
    found = cells(base + "[vary]\n\"env_args.size\" = [4, 6]\nenv_args.goal = ['left', 'right']")
    assert [cell.config.env_args for cell in found] == [
        {"size": size, "goal": goal} for size in (4, 6) for goal in ("left", "right")
    ]
    assert len({cell.identity for cell in found}) == 4
    assert found[0].name.startswith("size=4+goal=left-s1-")
    # made by the version before arguments
    (old,) = cells('[base]\nenv = "CartPole-v1"\nframes = 300\n[vary]\nt_max = [5]')
    assert old.name == "t_max=5-s1-573cbf53"
    assert cells('[base]\nenv = "CartPole-v1"\nframes = 300\nenv_args = {}\n[vary]\nt_max = [5]') == [old]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[vary]\nenv_args = [{size = 4}]", "There is no setting 'env_args' in .vary.. Did you mean 'env_args.NAME'"),
        ('[vary]\n"env_args.size" = [4, "x"]', "Cannot make"),
        ('[sweep]\nkind = "optuna"\nn = 2\n[vary]\n"env_args.size" = [4, 5]', "cannot vary env_args.size"),
    ],
)
def test_sweep_with_wrong_arguments_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        cells(f'[base]\nenv = "{WALK}"\n{text}')


def test_arguments_are_what_run_json_gives_back():
    """A tuple would be a list in a resumed run."""
    assert build({"env_args": {"shape": (3, (4, 5))}}).env_args == {"shape": [3, [4, 5]]}


def test_argument_that_is_not_utf_8_is_refused():
    with pytest.raises(InputError, match="should be a text in UTF-8"):
        build({"env_args": {"name": "a\udcff"}})
