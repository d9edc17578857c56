"""The cost model of simulated time: how many microseconds each phase of the worker loop takes.

Defaults are constants of the package, so that a simulated run repeats on every machine. A file of costs has an entry
for each environment, network, method and number of environments.
"""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BeforeValidator, Field, ValidationError

from asyncrl.config import RunConfig, read_toml
from asyncrl.errors import InputError, shown
from asyncrl.setting_types import Section

DEFAULT, MEASURE = "default", "measure"  # values of the setting simulated.costs that are no file
MOST_MICROSECONDS = 1e9
KEYS = ("env", "network", "algo", "envs_per_thread")  # of an entry in a file

Microseconds = Annotated[float, Field(ge=0, le=MOST_MICROSECONDS, allow_inf_nan=False, strict=False)]


class PhaseCost(Section):
    """The cost of one phase: ``base + each · n``, in microseconds."""

    base: Microseconds = 0.0
    each: Microseconds = 0.0  # environment that is stepped or acted in, or state that is learned from

    def of(self, n: float) -> float:
        """Return the microseconds of a phase with n environments or states."""
        return self.base + self.each * n


def _as_table(value: object) -> object:
    """Convert a number, the cost of a phase that does not depend on n."""
    return {"base": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Cost = Annotated[PhaseCost, BeforeValidator(_as_table)]


class Costs(Section):
    """The cost of each phase of ``runtime.worker.PHASES``."""

    pull: Cost
    act: Cost  # n: the environments of one worker
    environment: Cost  # n: the environments of one worker
    learn: Cost  # n: the states of a rollout
    apply: Cost


def kind_of(protocol: str) -> str:
    """Return the kind of environment that has a default cost: ``atari`` or ``other``."""
    return "atari" if protocol.startswith("atari") else "other"


@cache
def _defaults() -> dict[str, Any]:
    return tomllib.loads(files("asyncrl").joinpath("costs.toml").read_text(encoding="utf-8"))


def default_costs(network: str, kind: str) -> Costs:
    """Return the package's costs for a network and a kind of environment; raise InputError where it has none."""
    table = _defaults()
    if network not in table["networks"]:
        raise InputError(
            f"There are no default costs for network {shown(network)}; set simulated.costs to measure, or to a file "
            "that asyncrl run --threads 1 --profile writes."
        )
    return build(table["networks"][network] | table["environments"][kind], "costs.toml")


def build(table: object, place: str) -> Costs:
    """Return costs from a table; raise InputError that names the place of a wrong one."""
    try:
        costs = Costs.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "it"
        what = first["msg"].removeprefix("Input ").lower()
        raise InputError(f"{place} is no table of costs: {name[:100]} {what}; got {shown(first['input'])}.") from None
    if costs.environment.of(1) <= 0:
        raise InputError(f"{place} is no table of costs: a step of an environment must take time.")
    return costs


def read_costs(path: Path, config: RunConfig) -> Costs:
    """Return the costs of a file for a run; raise InputError where the file has none for it."""
    entries = read_toml(path).get("costs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} has no [[costs]]; asyncrl run --profile writes a file of costs.")
    wanted = _key(config)
    for entry in entries:
        if [entry.get(name) for name in KEYS] == wanted:
            return build({name: value for name, value in entry.items() if name not in KEYS}, str(path))
    raise InputError(f"{path} has no costs for {_describe(wanted)}; measure them: asyncrl run --threads 1 --profile.")


def to_toml(costs: Costs, config: RunConfig) -> str:
    """Return the costs of a run's environment, network and method as a file."""
    entry = dict(zip(KEYS, _key(config), strict=True)) | costs.model_dump()
    return "# Microseconds of each phase: base + each × environments, or × states of a rollout.\n" + tomli_w.dumps(
        {"costs": [entry]}
    )


def _key(config: RunConfig) -> list[object]:
    return [getattr(config, name) for name in KEYS]


def _describe(key: list[object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(KEYS, key, strict=True))
