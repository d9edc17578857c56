"""The tape, and a worker that goes on from it: bit for bit as if nobody had stopped it."""

import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit

from asyncrl.config import Atari
from asyncrl.envs.base import Box
from asyncrl.envs.gym import GymEnvironments
from asyncrl.envs.make import make
from asyncrl.events import EpisodeEnd, Incident, WorkerState
from asyncrl.runtime import action_log
from asyncrl.runtime.action_log import LoggedEnvironments
from asyncrl.store import checkpoint as checkpoints
from asyncrl.training import checkpointing
from tests.runtime.setups import actor, prepare, share
from tests.runtime.toys import counting


def draw(env, k):
    return 1_000 * env + k


def play(games, steps, seed=0):
    """Take random actions, and return what was seen last."""
    draw, actions = np.random.default_rng(seed), games.spec.actions
    for _ in range(steps):
        if isinstance(actions, Box):
            drawn = draw.normal(size=(games.num_envs, 1)).astype(np.float32)
        else:
            drawn = draw.integers(actions.n, size=games.num_envs)
        obs = games.step(drawn).obs
    return obs


@pytest.mark.parametrize("seed_every", [1, 40, 10_000])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_games_played_back_go_on_as_those_that_were_taped(monkeypatch, env, seed_every):
    monkeypatch.setattr(action_log, "SEED_EVERY", seed_every)
    monkeypatch.setattr(action_log, "FIRST_ROWS", 8)
    taped = LoggedEnvironments(make(env, 3, training=True, atari=Atari()), draw)
    taped.reset([draw(i, 0) for i in range(3)])
    for steps in (1, 100, 37):
        seen = play(taped, steps)
        later = LoggedEnvironments(make(env, 3, training=True, atari=Atari()), draw)
        later.reset([7, 8, 9])
        np.testing.assert_array_equal(later.replay(taped.log), seen)
        np.testing.assert_array_equal(play(later, 200, seed=steps), play(taped, 200, seed=steps))
        assert later.seeds == taped.seeds
        assert (max(taped.log.resets) > 1) == (seed_every < 10_000)


@pytest.mark.parametrize("protocol", ["paper", pytest.param("sticky", marks=pytest.mark.faults)])
def test_emulators_are_seeded_one_by_one_and_played_back(monkeypatch, protocol):
    monkeypatch.setattr(action_log, "SEED_EVERY", 1)
    atari = Atari(protocol=protocol, max_frames=100)  # 25 steps
    taped = LoggedEnvironments(make("qbert", 3, training=True, atari=atari), draw)
    taped.reset([draw(i, 0) for i in range(3)])
    play(taped, 20)
    taped.reset([None, 5, None])
    seen = play(taped, 45)
    assert taped.seeds != (draw(0, 0), 5, draw(2, 0))
    later = LoggedEnvironments(make("qbert", 3, training=True, atari=atari), draw)
    later.reset([7, 8, 9])
    np.testing.assert_array_equal(later.replay(taped.log), seen)
    np.testing.assert_array_equal(play(later, 60, seed=1), play(taped, 60, seed=1))
    taped.close()
    later.close()


def test_a_new_seed_is_the_next_of_its_environment_and_what_was_reached_is_kept(monkeypatch):
    monkeypatch.setattr(action_log, "SEED_EVERY", 1)
    games = GymEnvironments("toys", [TimeLimit(counting(1_000), 6), TimeLimit(counting(4), 100)])
    seeded = []
    taped = LoggedEnvironments(games, lambda env, k: seeded.append((env, k)) or 5)
    taped.reset([3, 4])
    steps = [taped.step(np.zeros(2, np.int64)) for _ in range(6)]
    assert seeded == [(1, 1), (0, 1)]
    assert steps[3].obs[1] == steps[3].successor[1] == 0  # the end of an episode
    assert (steps[5].obs[0], steps[5].successor[0]) == (0, 6)  # and of one that was cut


def test_environments_whose_games_never_end_are_not_followed_for_ever(monkeypatch):
    monkeypatch.setattr(action_log, "MOST_BYTES", 100)
    monkeypatch.setattr(action_log, "FIRST_ROWS", 16)
    taped = LoggedEnvironments(make("tests.toys:Forever", 1, training=True, atari=Atari()), draw)
    taped.reset([1])
    play(taped, 90)
    assert len(taped.log.actions) == 90
    play(taped, 200)
    assert taped.log is None


def live(run, updates, broken_after=None, **table):
    """Return a worker after some updates, broken off and taken up again from a checkpoint on the way."""
    job, shared = prepare(**table)
    worker = actor(job, shared)
    for i in range(updates):
        if i == broken_after:
            worker.report()
            worker.send_state()
            said = worker.pipe.sent
            checkpoints.save(run, checkpointing.take(shared, {0: said[-1]}, {}))
            torch.manual_seed(0)
            saved = checkpoints.load(run)
            job, shared = prepare(session=1, **table)[0], share(job)
            shared.restore(saved.tensors)
            worker = actor(job, shared, saved=checkpointing.states(saved)[0])
            worker.pipe.sent[:0] = said
        worker.update()
    worker.report()
    return worker, worker.actor.generator.get_state()


def assert_exact(tmp_path, updates, broken_after, **table):
    """See that a worker that was broken off ends as one that was not."""
    straight, rng = live(tmp_path, updates, **table)
    broken, other_rng = live(tmp_path, updates, broken_after, **table)
    for name, tensor in straight.parameters.tensors().items():
        assert torch.equal(tensor, broken.parameters.tensors()[name]), name
    assert torch.equal(rng, other_rng)
    assert straight.pipe.events(EpisodeEnd) == broken.pipe.events(EpisodeEnd)
    assert not broken.pipe.events(Incident)
    return broken


@pytest.mark.parametrize("network", ["mlp", pytest.param("mlp-lstm", marks=pytest.mark.faults)])
@pytest.mark.parametrize("algo", ["one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c"])
def test_a_worker_goes_on_bit_for_bit(monkeypatch, tmp_path, algo, network):
    monkeypatch.setattr(action_log, "SEED_EVERY", 50)
    table = {"env": "CartPole-v1", "algo": algo, "network": network, "envs_per_thread": 2, "target_frames": 300}
    broken = assert_exact(tmp_path, 80, 47, **table)
    assert max(broken.environments.log.resets) > 2
    assert broken.pipe.events(EpisodeEnd)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("env", "algo", "network"), [("qbert", "a3c", "nips-lstm"), ("pong", "one-step-sarsa", "nips")]
)
def test_a_worker_on_atari_goes_on_bit_for_bit(monkeypatch, tmp_path, env, algo, network):
    monkeypatch.setattr(action_log, "SEED_EVERY", 20)
    table = {"env": env, "algo": algo, "network": network, "atari": {"max_frames": 400}, "envs_per_thread": 2}
    assert_exact(tmp_path, 60, 31, **table)


def test_environments_that_do_not_repeat_themselves_begin_anew_and_that_is_said(tmp_path):
    job, shared = prepare(env="tests.runtime.toys:Moody")
    worker = actor(job, shared)
    for _ in range(3):
        worker.update()
    worker.send_state()
    saved = worker.pipe.sent[-1]
    later = actor(prepare(env="tests.runtime.toys:Moody", session=1)[0], shared, saved=saved)
    (said,) = later.pipe.events(Incident)
    assert "did not repeat" in said.message
    assert not said.is_fatal
    assert later.environments.seeds != worker.environments.seeds
    later.update()


def test_a_state_of_an_earlier_release_restores_the_random_numbers(tmp_path):
    job, shared = prepare(env="CartPole-v1")
    worker = actor(job, shared)
    worker.send_state()
    saved = worker.pipe.sent[-1]
    old = WorkerState(0, {"torch_rng": saved.state["torch_rng"]}, {})
    worker.update()
    later = actor(job, shared, saved=old)
    assert bytes(later.actor.generator.get_state().numpy()).hex() == saved.state["torch_rng"]


def test_a_state_that_was_told_before_a_workers_last_steps_is_not_kept():
    job, shared = prepare(env="CartPole-v1")
    worker = actor(job, shared)
    worker.send_state()
    said = {0: worker.pipe.sent[-1]}
    assert checkpointing.take(shared, said, {}).workers == [said[0].state]
    worker.update()
    late = checkpointing.take(shared, said, {})
    assert late.workers == [{}]
    assert late.tensors.keys() == shared.tensors().keys()
    assert checkpointing.states(late) == {}
