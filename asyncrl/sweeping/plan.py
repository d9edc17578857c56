"""The cells of a sweep: one training run each, named by the hash of what the sweep's file says about it."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asyncrl import config
from asyncrl.envs import make as environments
from asyncrl.envs.base import Spec
from asyncrl.envs.registry import canonical
from asyncrl.errors import InputError
from asyncrl.sweeping import sobol, space
from asyncrl.sweeping.cell import Cell, Flat, describe, value_text
from asyncrl.sweeping.declaration import INDEX, Declaration
from asyncrl.training import job_builder

NAME_LENGTH = 80  # of a cell, without its hash
MAX_CELLS = 100_000


class Resolver:
    """Resolves the settings of cells; the spaces of each environment are found once."""

    def __init__(self) -> None:
        """Start without any environment."""
        self._specs: dict[str, Spec] = {}

    def cell(self, base: Mapping[str, Any], varied: Mapping[str, Any], seed: int) -> Cell:
        """Return the cell of these settings.

        Raises:
            InputError: a setting is wrong; the text names the cell.
        """
        table = config.nested({**base, **varied, "seed": seed})
        try:
            resolved, _ = job_builder.resolve(table, self._describe)
            if (nodes := resolved.cluster.nodes) > 1 and not resolved.is_simulated:
                raise InputError(
                    f"cluster.nodes is {nodes}, but each run of a sweep trains on one machine; leave it out, or use "
                    "--clock simulated."
                )
        except InputError as error:
            where = describe(varied)
            raise InputError(f"{error} (In the cell with {where}.)" if where else str(error)) from None
        normal = normalised(config.flatten(table))
        _assert_holds(normal, config.flatten(resolved.model_dump()), varied)
        text = json.dumps(normal, sort_keys=True)
        identity = hashlib.sha256(text.encode()).hexdigest()[:12]
        shown = {name: normal[name] for name in varied}
        return Cell(f"{_label(shown)}s{seed}-{identity[:8]}", identity, shown, seed, table, resolved)

    def _describe(self, asked: config.RunConfig) -> Spec:
        key = asked.model_dump_json(include={"env", "env_args", "channels", "atari"})
        if key not in self._specs:
            self._specs[key] = environments.spec_of(asked)
        return self._specs[key]


def expand(declaration: Declaration, resolver: Resolver | None = None) -> list[Cell]:
    """Return the cells of a grid, random or Sobol sweep, in the order of its file.

    Raises:
        InputError: a cell is not valid, all are excluded, or two are the same.
    """
    resolver = resolver or Resolver()
    count = math.prod(map(len, declaration.choices.values())) * (declaration.sweep.n or 1)
    if count > MAX_CELLS:
        raise InputError(f"[vary] has {count:,} combinations of values, more than {MAX_CELLS:,}.")
    settings, points = declaration.sweep, list(_points(declaration))
    excluded = _exclusions(declaration)
    cells: dict[str, Cell] = {}
    for index, point in points:
        seeds = (index,) if settings.seeds == INDEX else settings.seeds
        for seed in seeds:
            assert isinstance(seed, int)
            # first as the file has it, since the settings of an excluded cell may be invalid
            if declaration.exclude and excluded(normalised({**declaration.base, **point, "seed": seed})):
                continue
            cell = resolver.cell(declaration.base, point, seed)
            if declaration.exclude and excluded(_stored(cell)):
                continue
            if cell.identity in cells:
                raise InputError(f"Two cells are the same: {describe(cell.varied)}, seed {seed}.")
            cells[cell.identity] = cell
            if len(cells) > MAX_CELLS:
                raise InputError(f"The sweep has more than {MAX_CELLS:,} cells.")
    if not cells:
        raise InputError("The sweep has no cells: [[exclude]] removes them all.")
    return list(cells.values())


def _points(declaration: Declaration) -> Iterator[tuple[int, Flat]]:
    """Yield the varied settings of each point with its number; each combination of lists has the same draws."""
    settings, ranges = declaration.sweep, declaration.ranges
    n = settings.n or 1
    draws: list[Flat] = [{}]
    if settings.kind == "random":
        draws = [space.random_point(ranges, settings.seed, index) for index in range(1, n + 1)]
    elif settings.kind == "sobol":
        draws = list(sobol.sobol_points(ranges, settings.seed, n))
    for combination in combinations(declaration):
        for index, draw in enumerate(draws, 1):
            yield index, combination | draw


def combinations(declaration: Declaration) -> Iterator[Flat]:
    """Yield each combination of the lists in ``[vary]``, the last list varies fastest."""
    names = list(declaration.choices)
    for values in itertools.product(*declaration.choices.values()):
        yield {
            name: value
            for group, row in zip(names, values, strict=True)
            for name, value in zip(group, row, strict=True)
        }


def _exclusions(declaration: Declaration) -> Callable[[Flat], bool]:
    rows = [normalised(row) for row in declaration.exclude]

    def excluded(normal: Flat) -> bool:
        return any(all(normal.get(name) == value for name, value in row.items()) for row in rows)

    return excluded


def _stored(cell: Cell) -> Flat:
    """Return all settings of a cell, defaults too, in the form of ``normalised``."""
    stored = config.flatten(cell.config.model_dump(mode="json"))
    return stored | {"env": canonical(stored["env"])}


def normalised(flat: Mapping[str, Any]) -> Flat:
    """Return settings as the configuration stores them: ``10M`` as a number, an environment by its one name."""
    stored = config.flatten(config.build(config.nested(flat)).model_dump(mode="json"))
    normal = {name: stored[name] for name in flat}
    if "env" in normal:
        normal["env"] = canonical(normal["env"])
    return normal


def _assert_holds(asked: Flat, resolved: Mapping[str, Any], varied: Mapping[str, Any]) -> None:
    """Raise InputError where the resolved settings do not hold what the file sets."""
    for name, value in asked.items():
        found = resolved[name]
        found = list(found) if isinstance(found, tuple) else found
        if found != value and not (name == "network" and value == "auto"):
            raise InputError(f"{name} is set to {value!r}, but the run would have {found!r} ({describe(varied)}).")


def _label(varied: Mapping[str, Any]) -> str:
    """Return the beginning of a cell's name; characters that a name may not have become ``-``."""
    words = [f"{name.rpartition('.')[2]}={value_text(value)}" for name, value in varied.items()]
    text = re.sub(r"[^\w.+=-]+", "-", "+".join(words), flags=re.ASCII)[:NAME_LENGTH].lstrip(".+=-")
    return f"{text}-" if text else ""
