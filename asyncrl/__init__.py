"""Asynchronous reinforcement learning on CPUs: the four methods of Mnih et al. (2016) on one Hogwild runtime.

From Python: ``asyncrl.train``, ``asyncrl.load``, ``asyncrl.find``, ``asyncrl.runs`` and ``asyncrl.sweep``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncrl.api import load, runs, sweep, train
    from asyncrl.errors import InputError, RunFailed, Stopped
    from asyncrl.policy import Policy
    from asyncrl.run import Run, find
    from asyncrl.training.progress import Progress

__all__ = [
    "InputError",
    "Policy",
    "Progress",
    "Run",
    "RunFailed",
    "Stopped",
    "find",
    "load",
    "runs",
    "sweep",
    "train",
]

_HOMES = {
    "asyncrl.api": ("load", "runs", "sweep", "train"),
    "asyncrl.errors": ("InputError", "RunFailed", "Stopped"),
    "asyncrl.policy": ("Policy",),
    "asyncrl.run": ("Run", "find"),
    "asyncrl.training.progress": ("Progress",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds, and ``asyncrl --help`` does not need it."""
    if name == "__version__":
        return import_module("importlib.metadata").version("asyncrl")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
