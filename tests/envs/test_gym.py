"""Gymnasium environments and a user's factories."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from asyncrl.config import Atari
from asyncrl.envs.base import Box, Discrete, Episode
from asyncrl.envs.gym import GymEnvironments, build
from asyncrl.envs.make import make
from asyncrl.envs.registry import Factory, Registered
from asyncrl.errors import InputError
from tests import toys


def toy(name, num_envs=1):
    return make(f"tests.toys:{name}", num_envs, training=True, atari=Atari())


def test_a_discrete_state_is_one_hot_and_the_shortest_way_is_scored():
    envs = toy("Corridor", 2)
    assert envs.spec == ((5,), "float32", Discrete(2), 1)
    np.testing.assert_array_equal(envs.reset([1, 2]), np.eye(5, dtype=np.float32)[[0, 0]])
    steps = [envs.step(np.array([1, t % 2])) for t in range(4)]
    np.testing.assert_array_equal(steps[2].obs[0], np.eye(5)[3])
    assert steps[3].episodes == (Episode(0, pytest.approx(toys.Corridor.OPTIMUM), 4, completed=True),)
    np.testing.assert_array_equal(steps[3].terminated, [True, False])
    np.testing.assert_array_equal(steps[3].obs[0], np.eye(5)[0])  # already the next episode's


def test_truncation_is_no_termination_and_its_successor_is_the_old_last():
    envs = toy("endless")
    envs.reset([1])
    steps = [envs.step(np.array([0])) for _ in range(45)]
    assert [t for t, step in enumerate(steps) if step.truncated[0]] == [19, 39]
    assert not any(step.terminated[0] for step in steps)
    assert steps[19].episodes == steps[39].episodes == (Episode(0, 20.0, 20, completed=False),)


class Ends(toys.Counting):
    """Counting, with a given combination of terminated and truncated at the end."""

    def __init__(self, terminated, truncated):
        self.ending = terminated, truncated

    def step(self, action):
        obs, reward, over, _, info = super().step(action)
        return obs, reward, *(self.ending if over else (False, False)), info


def test_where_both_end_an_episode_termination_wins():
    envs = GymEnvironments("ends", [Ends(True, False), Ends(False, True), Ends(True, True)])
    envs.reset([1, 2, 3])
    steps = [envs.step(np.zeros(3, np.int64)) for _ in range(8)]
    np.testing.assert_array_equal(steps[6].terminated, [True, False, True])
    np.testing.assert_array_equal(steps[6].truncated, [False, True, False])
    np.testing.assert_array_equal(steps[6].obs[:, 0], [0, 0, 0])
    np.testing.assert_array_equal(steps[6].successor[:, 0], [0, 7, 0])
    assert [game.completed for game in steps[6].episodes] == [True, False, True]
    np.testing.assert_array_equal(steps[7].successor, steps[7].obs)
    np.testing.assert_array_equal(steps[7].obs[:, 0], [1, 1, 1])  # a reset takes no step


def test_the_same_seed_repeats_over_episodes_and_others_differ():
    def sights(seeds):
        envs = toy("Cue", 2)
        return np.array([envs.reset(seeds), *(envs.step(np.zeros(2, np.int64)).obs for _ in range(60))])

    np.testing.assert_array_equal(sights([1, 2]), sights([1, 2]))
    assert (sights([1, 2])[:, 0] != sights([3, 2])[:, 0]).any()
    assert (sights([1, 2])[:, 0] != sights([1, 2])[:, 1]).any()


def test_real_actions_are_clipped_to_their_bounds():
    envs = toy("Target")
    assert envs.spec.actions == Box(1)
    shown = envs.reset([1])
    step = envs.step(np.array([[50.0]], np.float32))
    assert step.reward[0] == pytest.approx(-((1 + 0.5 * shown[0, 0]) ** 2))


class Shifted(toys.Corridor):
    """Actions −1 and 0, places 10 … 14."""

    observation_space = spaces.Discrete(5, start=10)
    action_space = spaces.Discrete(2, start=-1)

    def see(self):
        return 10 + self.place

    def act(self, action):
        assert action in (-1, 0)
        return super().act(action + 1)


def test_discrete_spaces_that_do_not_start_at_zero():
    envs = GymEnvironments("shifted", [Shifted()])
    np.testing.assert_array_equal(envs.reset([1])[0], np.eye(5)[0])
    envs.step(np.array([1]))
    np.testing.assert_array_equal(envs.step(np.array([1])).obs[0], np.eye(5)[2])
    np.testing.assert_array_equal(envs.step(np.array([0])).obs[0], np.eye(5)[1])


class Picture(toys.Corridor):
    def __init__(self, shape):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def see(self):
        return np.arange(np.prod(self.observation_space.shape), dtype=np.uint8).reshape(self.observation_space.shape)


@pytest.mark.parametrize(
    ("shape", "ours", "axis"), [((6, 7, 3), (3, 6, 7), -1), ((6, 7, 1), (1, 6, 7), -1), ((4, 6, 7), (4, 6, 7), 0)]
)
def test_images_stay_bytes_with_their_channels_first(shape, ours, axis):
    env = Picture(shape)
    envs = GymEnvironments("picture", [env])
    obs = envs.reset([1])
    assert (envs.spec.obs_shape, envs.spec.obs_dtype, obs.dtype) == (ours, "uint8", np.uint8)
    np.testing.assert_array_equal(obs[0, 1 % ours[0]], env.see().take(1 % ours[0], axis))


@pytest.mark.parametrize(
    ("observed", "acted", "message"),
    [
        (spaces.Tuple([spaces.Discrete(2)]), spaces.Discrete(2), "observation space Tuple"),
        (spaces.Discrete(2), spaces.MultiBinary(2), "action space MultiBinary"),
        (spaces.Discrete(2), spaces.Box(0, 1, (2, 2), np.float32), "action space Box"),
        (spaces.Discrete(2), spaces.Box(0, 9, (2,), np.int64), "action space Box"),
    ],
)
def test_gym_environments_with_an_unsupported_space_raise(observed, acted, message):
    env = toys.Corridor()
    env.observation_space, env.action_space = observed, acted
    with pytest.raises(InputError, match=f"mine .* {message}.*Supported spaces: Discrete") as caught:
        GymEnvironments("mine", [env])
    assert "\n" not in str(caught.value)


def test_a_crash_is_not_hidden():
    envs = toy("Crashing")
    envs.reset([1])
    for _ in range(9):
        envs.step(np.array([0]))
    with pytest.raises(RuntimeError, match="gave way"):
        envs.step(np.array([0]))


def test_a_reward_that_is_no_number_is_passed_on():
    envs = toy("NotANumber")
    envs.reset([1])
    assert np.isnan([envs.step(np.array([0])).reward[0] for _ in range(10)]).sum() == 1


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Factory("no_such_module_at_all", "x"), "Cannot import 'no_such_module_at_all': ModuleNotFoundError"),
        (Factory("tests.toys", "Coridor"), "has no callable 'Coridor'. Did you mean 'Corridor'"),
        (Factory("os", "sep"), "'os' has no callable 'sep'"),
        (Factory("os", "getcwd"), ", not a gymnasium.Env"),
        (Factory("os", "mkdir"), "Cannot make os:mkdir: TypeError"),
    ],
)
def test_build_of_a_broken_factory_raises_with_the_reason(factory, message):
    with pytest.raises(InputError, match=message):
        build(factory)


def test_a_factory_beside_the_user_is_found(tmp_path, monkeypatch):
    (tmp_path / "beside_me.py").write_text("from tests.toys import Corridor as mine\nbroken = 1 / 1\n")
    (tmp_path / "broken_beside_me.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path != ""])
    assert isinstance(build(Factory("beside_me", "mine")), toys.Corridor)
    with pytest.raises(InputError, match="ZeroDivisionError: division by zero"):
        build(Factory("broken_beside_me", "mine"))


def test_a_missing_extra_is_named():
    needs = {"mujoco": "HalfCheetah-v5", "Box2D": "LunarLander-v3", "jax": "phys2d/CartPole-v1"}
    absent = {module: id for module, id in needs.items() if not _importable(module)}
    if not absent:
        pytest.skip("every extra is installed")
    for id in absent.values():
        with pytest.raises(InputError, match=f"Cannot make {id}: "):
            build(Registered(id))


def _importable(module):
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def test_time_limits_are_gymnasiums():
    env = build(Registered("CartPole-v1"))
    assert isinstance(env, gymnasium.Env)
    assert env.spec.max_episode_steps == 500
