"""Learners and optimizers by name: the only file that names the concrete ones."""

from collections.abc import Iterator
from typing import Any

from asyncrl import own_parts
from asyncrl.config import RunConfig
from asyncrl.learners.a3c import A3C
from asyncrl.learners.base import Learner
from asyncrl.learners.exploration import EpsilonGreedy
from asyncrl.learners.n_step_q import NStepQ
from asyncrl.learners.one_step_q import OneStepQ
from asyncrl.learners.one_step_sarsa import OneStepSarsa
from asyncrl.networks.factory import LSTM
from asyncrl.optim import Adam, Momentum, Optimizer, RMSProp

POLICY_METHODS = ("a3c", "a2c")
VALUE_METHODS: dict[str, type[OneStepQ | OneStepSarsa | NStepQ]] = {
    "one-step-q": OneStepQ,
    "one-step-sarsa": OneStepSarsa,
    "n-step-q": NStepQ,
}


def is_policy_method(config: RunConfig) -> bool:
    """Return whether actions are sampled from a policy; otherwise they are ε-greedy over action values.

    Of a user's learners, those with a field ``exploration`` are value methods.
    """
    if own_parts.is_own(config.algo):
        return "exploration" not in own_parts.field_names(own_parts.load(config.algo))
    return config.algo in POLICY_METHODS


def make_learner(config: RunConfig, final: tuple[float, ...], epsilon_steps: int, target_period: int) -> Learner[Any]:
    """Make the run's learner.

    Args:
        config: the run's settings.
        final: final ε, one an environment; policy methods do not use it.
        epsilon_steps: steps in which ε is annealed.
        target_period: steps between two copies of θ to θ⁻.
    """
    exploration = EpsilonGreedy(final, epsilon_steps)
    if own_parts.is_own(config.algo):
        available = {"exploration": exploration, "target_period": target_period}
        available |= {name: getattr(config, name) for name in ("entropy", "value_weight", "gamma", "t_max")}
        needed = ("snapshots", "looks_ahead", "target_period", "act", "loss")
        return own_parts.make(config.algo, available, needed)  # type: ignore[no-any-return]
    if config.algo in POLICY_METHODS:
        return A3C(entropy=config.entropy, value_weight=config.value_weight)
    return VALUE_METHODS[config.algo](exploration, target_period)


def make_optimizer(config: RunConfig) -> Optimizer:
    """Make the run's optimizer."""
    settings = config.optimizer
    if own_parts.is_own(settings.name):
        available = {"alpha": settings.alpha, "eps": settings.eps}
        return own_parts.make(settings.name, available, ("slots", "shared", "apply"))  # type: ignore[no-any-return]
    if settings.name == "momentum":
        return Momentum(settings.alpha)
    if settings.name == "adam":
        return Adam(settings.eps)
    return RMSProp(shared=settings.name == "shared-rmsprop", alpha=settings.alpha, eps=settings.eps)


def own_names(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield the settings that name parts of the user, and these names."""
    network = config.network.removesuffix(LSTM)
    for setting, name in (("algo", config.algo), ("network", network), ("optimizer.name", config.optimizer.name)):
        if own_parts.is_own(name):
            yield setting, name


def own_files(config: RunConfig) -> dict[str, dict[str, str]]:
    """Return the parts of the user by setting, with their files and digests, as run.json keeps them."""
    return {setting: own_parts.file_and_digest(name) for setting, name in own_names(config)}
