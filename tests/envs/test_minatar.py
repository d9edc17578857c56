"""MinAtar: names, observations equal to the suite's own, truncation, and processes that never import plotting."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from asyncrl import experiment
from asyncrl.cli.app import main
from asyncrl.config import Atari
from asyncrl.envs import minatar
from asyncrl.envs.base import Discrete, Spec
from asyncrl.envs.gym import build
from asyncrl.envs.make import describe, make, protocol_name
from asyncrl.envs.registry import MinAtarGame, Rom, canonical, kind, parse_name
from asyncrl.envs.render import make_rendered
from asyncrl.errors import InputError
from asyncrl.store.rows import read_rows
from asyncrl.training import job_builder

suite = pytest.importorskip("minatar")

PLANES = {"asterix": 4, "breakout": 4, "freeway": 7, "seaquest": 10, "space_invaders": 6}
MINIMAL_ACTIONS = {"asterix": 5, "breakout": 3, "freeway": 3, "seaquest": 6, "space_invaders": 4}
TITLES = {game: game.title().replace("_", "") for game in PLANES}
every_game = pytest.mark.parametrize("game", PLANES)


def open_games(env, num_envs=1, training=True):
    return make(env, num_envs, training=training, atari=Atari())


@pytest.mark.parametrize(
    "name",
    ["minatar/space_invaders", "MinAtar/SpaceInvaders", "minatar/space-invaders-v0", "MinAtar/SpaceInvaders-v0",
     "minatar.gym:MinAtar/SpaceInvaders-v0"],
)  # fmt: skip
def test_parse_name_of_any_spelling_is_the_published_version(name):
    assert parse_name(name) == MinAtarGame("MinAtar/SpaceInvaders-v0")
    assert canonical(name) == canonical(canonical(name)) == "MinAtar/SpaceInvaders-v0"


def test_parse_name_with_a_version_keeps_it_and_a_title_alone_is_the_atari_game():
    assert parse_name("minatar/breakout-v1") == MinAtarGame("MinAtar/Breakout-v1")
    assert parse_name("breakout") == Rom("breakout")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("minatar/brekout", "'MinAtar/Breakout'"),
        ("MinAtar/Freway-v1", "'MinAtar/Freeway'"),
        ("minatar-breakout", "'MinAtar/Breakout'"),
    ],
)
def test_parse_name_of_a_misspelt_game_names_the_nearest(name, near):
    with pytest.raises(InputError, match=f"no environment '{name}'. Did you mean {near}") as caught:
        parse_name(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["minatar/pong-v7", "minatar/", "MinAtar"])
def test_parse_name_of_an_unknown_game_names_all_games(name):
    games = "The games of MinAtar are MinAtar/Asterix, .*MinAtar/SpaceInvaders, also with -v0 or -v1"
    with pytest.raises(InputError, match=f"no environment '{name}'. {games}"):
        parse_name(name)


@every_game
@pytest.mark.parametrize("version", [0, 1])
def test_describe_is_planes_with_channels_first_and_the_actions_of_the_version(game, version):
    env = f"minatar/{game}-v{version}"
    spec = describe(env, Atari())
    actions = MINIMAL_ACTIONS[game] if version else 6
    assert spec == Spec((PLANES[game], 10, 10), "bool", Discrete(actions), frames_per_step=1)
    assert (kind(env, spec), protocol_name(env, Atari())) == ("minatar", "minatar")


@every_game
def test_step_equals_the_suites_own_game(game):
    """Observations, rewards and ends over several episodes, with the suite's class stepped beside."""
    own = suite.Environment(game)
    envs = open_games(f"minatar/{game}")
    own.seed(3)
    own.reset()
    np.testing.assert_array_equal(envs.reset([3])[0], np.moveaxis(own.state(), -1, 0))
    rng = np.random.default_rng(3)
    for _ in range(400):
        action = int(rng.integers(6))
        step = envs.step(np.array([action]))
        reward, over = own.act(action)
        assert (step.reward[0], step.terminated[0]) == (reward, over)
        if over:
            own.reset()
        assert step.obs.dtype == np.bool_
        np.testing.assert_array_equal(step.obs[0], np.moveaxis(own.state(), -1, 0))


def test_reset_with_a_seed_repeats_the_episode_whatever_was_played_before():
    """The suite keeps the last action over a reset, and repeats it with probability 0.1."""

    def first_steps(envs, seed):
        return np.array([envs.reset([seed]), envs.step(np.array([0])).obs, envs.step(np.array([0])).obs])

    fresh, played = open_games("minatar/breakout"), open_games("minatar/breakout")
    for seed in range(60):
        played.reset([1])
        played.step(np.array([1]))
        played.step(np.array([1]))
        np.testing.assert_array_equal(first_steps(played, seed), first_steps(open_games("minatar/breakout"), seed))
    fresh.close()


@pytest.mark.parametrize("how", ["training", "evaluation", "record"])
def test_an_episode_is_truncated_at_the_limit_and_not_terminal(monkeypatch, how):
    assert build(MinAtarGame("MinAtar/Freeway-v0")).spec.max_episode_steps == 5_000
    monkeypatch.setattr(minatar, "MAX_STEPS", 30)
    env = "minatar/freeway"
    envs = make_rendered(env, Atari()) if how == "record" else open_games(env, training=how == "training")
    envs.reset([1])
    steps = [envs.step(np.array([0])) for _ in range(30)]
    assert [bool(step.truncated[0]) for step in steps] == [False] * 29 + [True]
    assert not any(step.terminated[0] for step in steps)
    assert steps[-1].episodes[0].length == 30
    assert not steps[-1].episodes[0].completed


def test_rewards_are_not_clipped(monkeypatch):
    envs = open_games("minatar/seaquest")
    envs.reset([1])
    monkeypatch.setattr(envs.envs[0].unwrapped.game, "act", lambda action: (10, False))
    assert envs.step(np.array([0])).reward[0] == 10


def test_frame_shows_each_plane_in_a_colour_of_its_own():
    rendered = make_rendered("minatar/breakout", Atari())
    rendered.reset([1])
    # at the start the ball is below its trail
    planes = rendered.step(np.array([0])).obs[0]
    picture = rendered.frame()
    assert (picture.shape, picture.dtype) == ((10, 10, 3), np.uint8)
    np.testing.assert_array_equal(picture.any(-1), planes.any(0))
    paddle, ball, brick = (tuple(picture[tuple(np.argwhere(planes[i])[0])]) for i in (0, 1, 3))
    assert len({paddle, ball, brick}) == 3


def test_a_fresh_process_makes_a_game_quietly_and_without_plotting():
    code = (
        "import logging, sys; from asyncrl.config import Atari; from asyncrl.envs.make import make; "
        "envs = make('MinAtar/Breakout-v0', 2, training=True, atari=Atari()); "
        "print(envs.reset([1, 2]).shape, {'matplotlib', 'seaborn'} & set(sys.modules), logging.root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("(2, 4, 10, 10) set() []", "")


def test_run_without_the_extra_names_it_and_ends_with_2(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "minatar.gym", None)
    for id in [id for id in gymnasium.registry if id.startswith("MinAtar/")]:
        monkeypatch.delitem(gymnasium.registry, id)
    with pytest.raises(SystemExit) as end:
        main(["run", "--env", "minatar/breakout", "--results", str(tmp_path)])
    error = capsys.readouterr().err.strip()
    assert end.value.code == 2
    assert "pip install 'asyncrl[minatar]'" in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(100)
def test_a_run_trains_and_evaluates_in_processes_of_its_own(tmp_path):
    table = {"env": "minatar/breakout", "threads": 1, "frames": 40, "evaluation": {"episodes": 2, "every": 40}}
    config, spec = job_builder.resolve(table)
    assert (config.env, config.network) == ("MinAtar/Breakout-v0", "minatar")
    run = experiment.train(config, tmp_path, spec=spec)
    assert [(row["protocol"], row["episodes"]) for row in read_rows(run, "evaluations")] == [("minatar", 2)]
    assert len(list(experiment.play(run, seed=1))) > 1
