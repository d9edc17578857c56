"""Builds environments from a name, and describes them before training."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from asyncrl import config
from asyncrl.config import Channels, RunConfig
from asyncrl.envs.atari import AtariEnvironments
from asyncrl.envs.base import Environments, Spec
from asyncrl.envs.gym import GymEnvironments, build
from asyncrl.envs.names import GYMNASIUM, MINATAR, atari_protocol
from asyncrl.envs.probe import probe
from asyncrl.envs.registry import Factory, MinAtarGame, Registered, Rom, channel_axis, parse, parse_name


def make(
    env: str,
    num_envs: int,
    *,
    training: bool,
    atari: config.Atari,
    channels: Channels = "auto",
    args: Mapping[str, Any] = {},
    num_threads: int = 1,
) -> Environments:
    """Build B environments; raise InputError if the name is unknown or the spaces are not supported.

    Args:
        env: the name of an environment, in any form that ``registry.parse_name`` accepts.
        num_envs: B.
        training: whether rewards are clipped and a lost life is terminal; Atari only.
        atari: the Atari protocol; Atari only.
        channels: the axis of the channels of images; environments of the user only.
        args: arguments of ``gymnasium.make`` or of the user's factory.
        num_threads: threads of the emulator pool; Atari only.
    """
    named = parse(env, args)
    if isinstance(named, Rom):
        return AtariEnvironments(named.name, num_envs, training=training, atari=atari, num_threads=num_threads)
    return _wrap(env, named, num_envs, channels)


def _wrap(env: str, named: MinAtarGame | Registered | Factory, num_envs: int, channels: Channels) -> GymEnvironments:
    """Build B environments; close those that were built where that fails."""
    with ExitStack() as built:
        envs = []
        for _ in range(num_envs):
            envs.append(build(named))
            built.callback(envs[-1].close)
        environments = GymEnvironments(env, envs, channel_axis(named, channels))
        built.pop_all()
    return environments


def spec_of(config: RunConfig) -> Spec:
    """Return the spaces of a run's environment, as ``describe`` does."""
    return describe(config.env, config.atari, config.channels, config.env_args)


def describe(env: str, atari: config.Atari, channels: Channels = "auto", args: Mapping[str, Any] = {}) -> Spec:
    """Return the spaces of an environment: build one, try a user's one with a few steps, and close it.

    Raise InputError as ``make`` does, and where ``reset`` or ``step`` does not return what Gymnasium says.
    """
    environments = make(env, 1, training=False, atari=atari, channels=channels, args=args)
    try:
        if isinstance(environments, GymEnvironments):
            probe(environments)
    finally:
        environments.close()
    return environments.spec


def protocol_name(env: str, atari: config.Atari) -> str:
    """Return the name that scores are reported under: ``atari-paper-noop``, ``minatar``, ``gymnasium``."""
    named = parse_name(env)
    if isinstance(named, Rom):
        return atari_protocol(atari.protocol, atari.noops, atari.frame_size)
    return MINATAR if isinstance(named, MinAtarGame) else GYMNASIUM
