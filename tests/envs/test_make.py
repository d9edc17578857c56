"""Building environments from a name."""

import multiprocessing

import pytest

from asyncrl.config import Atari
from asyncrl.envs.base import Box, Discrete, Spec
from asyncrl.envs.make import describe, make, protocol_name
from asyncrl.envs.registry import kind
from asyncrl.errors import InputError

PONG = Spec((4, 84, 84), "uint8", Discrete(6), 4)


@pytest.mark.parametrize(
    ("name", "spec", "block", "protocol"),
    [
        ("pong", PONG, "atari", "atari-paper-noop"),
        ("ALE/Pong-v5", PONG, "atari", "atari-paper-noop"),
        ("CartPole-v1", Spec((4,), "float32", Discrete(2), 1), "vector", "gymnasium"),
        ("Pendulum-v1", Spec((3,), "float32", Box(1), 1), "continuous", "gymnasium"),
        ("tests.toys:Corridor", Spec((5,), "float32", Discrete(2), 1), "vector", "gymnasium"),
    ],
)
def test_an_environment_is_described_without_being_kept(name, spec, block, protocol):
    assert describe(name, Atari()) == spec
    assert kind(name, spec) == block
    assert protocol_name(name, Atari()) == protocol


def test_a_protocol_is_named_by_what_it_does():
    assert protocol_name("pong", Atari(protocol="sticky")) == "atari-sticky-noop"
    assert protocol_name("pong", Atari(noops=0)) == "atari-paper"
    assert protocol_name("pong", Atari(frame_size=42)) == "atari-paper-noop-42"


def test_unsupported_spaces_are_refused_before_anything_runs():
    with pytest.raises(InputError, match=r"tests\.toys:Unsupported has the observation space Dict"):
        describe("tests.toys:Unsupported", Atari())


def _shape_in_a_child(name, pipe):
    envs = make(name, 2, training=True, atari=Atari())
    pipe.send(envs.reset([1, 2]).shape)
    envs.close()


@pytest.mark.timeout(60)
def test_a_spawned_child_makes_them_too():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_shape_in_a_child, args=("ALE/Pong-v5", there))
    child.start()
    assert here.poll(50)
    assert here.recv() == (2, 4, 84, 84)
    child.join(10)
    assert child.exitcode == 0
