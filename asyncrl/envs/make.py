"""From a name to environments, and what can be told of them beforehand."""

from asyncrl import config
from asyncrl.envs.atari import AtariEnvironments
from asyncrl.envs.base import Box, Environments, Spec
from asyncrl.envs.gym import GymEnvironments, build
from asyncrl.envs.registry import Rom, resolve


def make(env: str, num_envs: int, *, training: bool, atari: config.Atari, num_threads: int = 1) -> Environments:
    """Build B environments; raise InputError where there are none of that name, or their spaces are not supported.

    ``training`` and ``atari`` matter to Atari games alone, as does ``num_threads``, the emulators' threads.
    """
    named = resolve(env)
    if isinstance(named, Rom):
        return AtariEnvironments(named.name, num_envs, training=training, atari=atari, num_threads=num_threads)
    return GymEnvironments(env, [build(named) for _ in range(num_envs)])


def describe(env: str, atari: config.Atari) -> Spec:
    """Return the spaces of an environment, by building one and closing it; raise InputError as ``make`` does."""
    probe = make(env, 1, training=False, atari=atari)
    probe.close()
    return probe.spec


def kind(spec: Spec) -> str:
    """Return the block of presets that an environment takes: ``atari``, ``vector`` or ``continuous``."""
    if isinstance(spec.actions, Box):
        return "continuous"
    return "atari" if len(spec.obs_shape) == 3 else "vector"


def protocol_name(env: str, atari: config.Atari) -> str:
    """Return the name that scores are reported under: ``atari-paper-noop``, ``atari-sticky-noop``, ``gymnasium``."""
    if not isinstance(resolve(env), Rom):
        return "gymnasium"
    return f"atari-{atari.protocol}-noop" if atari.noops else f"atari-{atari.protocol}"
