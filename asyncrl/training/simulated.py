"""The costs of a simulated run: the package's, those of a file, those of run.json, or those that a run has measured."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyncrl import costs as cost_model
from asyncrl.config import RunConfig
from asyncrl.costs import Costs, PhaseCost
from asyncrl.envs import make as environments
from asyncrl.errors import InputError
from asyncrl.runtime.worker import PHASES
from asyncrl.store.atomic import replace_file
from asyncrl.store.rows import valid_rows

PER_UPDATE = ("pull", "learn", "apply")  # phases; the others are per step
FILE = "costs.toml"  # in the directory of a run with --profile


def chosen_costs(config: RunConfig) -> Costs:
    """Return the costs that the settings name; raise InputError where a file has none for this run."""
    name = config.simulated.costs
    return _defaults(config) if name == cost_model.DEFAULT else cost_model.read_costs(Path(name), config)


def stored_costs(run: Path, document: Mapping[str, Any], config: RunConfig) -> Costs | None:
    """Return the costs in run.json, with which a simulated run goes on; None for another run."""
    return cost_model.build(document.get("costs"), f"costs in {run / 'run.json'}") if config.is_simulated else None


def _defaults(config: RunConfig) -> Costs:
    return cost_model.default_costs(
        config.network, cost_model.kind_of(environments.protocol_name(config.env, config.atari))
    )


def measured_costs(run: Path, config: RunConfig) -> Costs:
    """Return the costs that a profiled run has measured.

    A profile has one mean for each phase: it is split into base and each as in the package's costs.

    Raises:
        InputError: the run was too short for a row of metrics.
    """
    rows = valid_rows(run, "metrics").rows
    if not rows:
        raise InputError(f"{run} has no row of metrics: train it for longer to measure costs.")
    # The first row has the warm-up.
    first = rows[0] if len(rows) > 2 else {"steps": 0, "updates": 0}
    seconds = dict.fromkeys((*PHASES, "events"), 0.0)
    before = 0
    for row in rows:
        if row["steps"] > first["steps"]:
            for phase in seconds:
                seconds[phase] += (row.get(f"{phase}_us") or 0.0) * (row["steps"] - before)
        before = row["steps"]
    steps, updates = rows[-1]["steps"] - first["steps"], (rows[-1]["updates"] or 0) - first["updates"]
    seconds["apply"] += seconds.pop("events")
    envs = config.envs_per_thread * (config.threads if config.algo == "a2c" else 1)
    shape = _shape(config)
    costs = {}
    for phase, total in seconds.items():
        calls = max(1, updates) if phase in PER_UPDATE else steps / envs
        costs[phase] = _scaled(getattr(shape, phase), steps / calls, total / calls)
    return Costs(**costs)


def _shape(config: RunConfig) -> Costs:
    """Return costs with the ratio of base and each; of a network without default costs, a plain one."""
    with suppress(InputError):
        return _defaults(config)
    one = PhaseCost(base=1.0)
    return Costs(pull=one, act=one, environment=PhaseCost(each=1.0), learn=PhaseCost(each=1.0), apply=one)


def _scaled(cost: PhaseCost, n: float, microseconds: float) -> PhaseCost:
    """Return a cost that is so many microseconds for n."""
    factor = microseconds / cost.of(n) if cost.of(n) else 0.0
    return PhaseCost(base=round(cost.base * factor, 3), each=round(cost.each * factor, 3))


def write_costs(run: Path, config: RunConfig) -> None:
    """Write the file of costs of a profiled run, if it was long enough, and its phases were those of one core."""
    if config.algo == "a2c" and config.threads > 1:
        return
    try:
        text = cost_model.to_toml(measured_costs(run, config), config)
    except InputError:
        return
    replace_file(run / FILE, text.encode())
