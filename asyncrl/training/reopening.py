"""Reads a stored run's settings again, and checks that they still belong to its environment and its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncrl import config as configuration
from asyncrl.config import RunConfig
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.errors import InputError
from asyncrl.networks import factory as networks
from asyncrl.store.settings import config_of
from asyncrl.training import preflight

# settings that may change at resume
HARMLESS = (
    "frames",
    "log_seconds",
    "profile",
    "trackers",
    "evaluation.",
    "checkpoints.",
    "workers.restarts",
    "workers.hang_seconds",
)
BARRIERS = "checkpoints.every"  # in simulated time a checkpoint changes what follows


def reopen(run: Path, document: Mapping[str, Any]) -> tuple[RunConfig, Spec]:
    """Return a run's settings and the spaces of its environment; raise InputError where they do not belong together."""
    config = config_of(run)
    spec = environments.spec_of(config)
    preflight.check_spaces(run, document, config, spec)
    try:
        network = networks.fit(config.network, spec.obs_shape)
    except InputError as error:
        raise InputError(f"{run / 'run.json'} cannot be used. {error}") from None
    return config.model_copy(update={"network": network}), spec


def refuse_changes(run: Path, before: RunConfig, now: RunConfig) -> None:
    """Raise InputError if a run would continue with other settings than it was trained with, except harmless ones."""
    old, new = (configuration.flatten(settings.model_dump()) for settings in (before, now))
    # arguments of an environment may be missing in one of them
    names = dict.fromkeys((*old, *new))
    fixed = [name for name in names if not name.startswith(HARMLESS) or (before.is_simulated and name == BARRIERS)]
    changed = [name for name in fixed if old.get(name) != new.get(name)]
    if changed:
        told = ", ".join(f"{name} (it was {old.get(name)}, now {new.get(name)})" for name in changed)
        raise InputError(f"{run.name} was trained with other settings than its run.json has: {told}. Set them back.")


def protocol_of(config: RunConfig, document: Mapping[str, Any]) -> str:
    """Return the protocol of evaluations in run.json, or of the settings where run.json has none."""
    return document.get("protocol") or environments.protocol_name(config.env, config.atari)
