"""A trial of an environment before anything is written: one reset and a few steps, with the checks of every step."""

import inspect
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from asyncrl.envs.base import Array, Box
from asyncrl.envs.contract import unwrapped, user_code
from asyncrl.envs.gym import GymEnvironments
from asyncrl.errors import InputError

STEPS = 5
SEED = 0


def probe(environments: GymEnvironments) -> None:
    """Reset one environment and take a few steps with random actions; an observation outside its bounds is a warning.

    Random numbers of the process are afterwards as they were before.

    Raises:
        InputError: an error in the environment, or a value that it may not return. The text is one line.
    """
    kind = environments.spec.actions
    rng = np.random.default_rng(SEED)
    with _random_states(), np.errstate(all="ignore"):
        _refuse_old_reset(environments)
        with user_code(f"reset() of {environments.owner} failed"):
            observed = [environments.reset([SEED])]
        for _ in range(STEPS):
            action: Array = rng.standard_normal(kind.shape, np.float32)
            if not isinstance(kind, Box):
                action = rng.integers(kind.choices).reshape(kind.shape)
            with user_code(f"step() of {environments.owner} failed"):
                step = environments.step(np.asarray(action)[None])
            if not np.isfinite(step.reward).all():
                raise InputError(
                    f"step() of {environments.owner} returned a reward that is {step.reward[0]} in float32, not finite."
                )
            observed.append(step.successor)
    _warn_if_outside(environments, np.concatenate(observed))


def _refuse_old_reset(environments: GymEnvironments) -> None:
    try:
        inspect.signature(unwrapped(environments.envs[0]).reset).bind(seed=SEED)
    except TypeError:
        raise InputError(
            f"reset() of {environments.owner} takes no seed; define reset(self, *, seed=None, options=None)."
        ) from None
    # such as a method that was written in C
    except ValueError:
        return


def _warn_if_outside(environments: GymEnvironments, observed: Array) -> None:
    """Warn of the first float of ``[N, *O]`` observations that is outside the bounds of its space."""
    found = next(filter(None, map(environments.find_outside, observed)), None)
    if found:
        text = f"An observation of {environments.owner} is outside its observation_space: {found}. The run continues."
        warnings.warn(text, stacklevel=2)


@contextmanager
def _random_states() -> Iterator[None]:
    """Restore the global random states of Python, numpy and torch, which a user's environment may draw from."""
    python, numpy, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(tensors)
