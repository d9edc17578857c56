"""The declaration of a sweep: one TOML file, validated as a whole before anything starts.

``[sweep]`` says how cells are made, ``[base]`` has the settings of every run in the vocabulary of ``run --config``,
``[vary]`` has the settings that differ, and each ``[[exclude]]`` removes the cells that have all of its values.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from asyncrl import config
from asyncrl.errors import InputError, nearest, shown
from asyncrl.setting_types import reworded
from asyncrl.sweeping.space import Range

Kind = Literal["grid", "random", "sobol", "optuna"]
Objective = Literal["final", "area"]
Normalisation = Literal["none", "human", "reference"]
ENVIRONMENTS = ("env",)  # the names of a list of environments: in a search every trial trains on all
INDEX = "index"  # seeds: each point has one seed, its own number
MAX_SEEDS = 10_000


def parse_seeds(value: object) -> object:
    """Convert ``3`` to (1, 2, 3), ``"1-5"`` and ``"1-3, 8"`` to their numbers; leave ``index`` and lists of integers.

    Raises:
        ValueError: none of these, or more than MAX_SEEDS.
    """
    if value == INDEX or isinstance(value, tuple):
        return value
    if isinstance(value, list):
        found = value
    elif isinstance(value, int) and not isinstance(value, bool):
        found = list(range(1, min(value, MAX_SEEDS + 1) + 1))
    elif isinstance(value, str) and re.fullmatch(
        r"\s*\d{1,9}(\s*-\s*\d{1,9})?(\s*,\s*\d{1,9}(\s*-\s*\d{1,9})?)*\s*", value
    ):
        found = []
        for part in value.split(","):
            first, _, last = (text.strip() for text in part.partition("-"))
            if last and int(last) < int(first):
                raise ValueError(f"has a range that ends before it begins: {part.strip()}")
            found += range(int(first), min(int(last or first), int(first) + MAX_SEEDS) + 1)
    else:
        raise ValueError("takes a number of seeds (3), a list ([1, 2, 5]), a range ('1-5') or 'index'")
    if not found or len(found) > MAX_SEEDS:
        raise ValueError(f"needs between 1 and {MAX_SEEDS:,} seeds")
    if any(not isinstance(seed, int) or isinstance(seed, bool) or seed < 0 for seed in found):
        raise ValueError("takes seeds that are integers, 0 or larger")
    if len(set(found)) < len(found):
        raise ValueError("has a seed twice")
    return tuple(found)


Seeds = Annotated[tuple[int, ...] | Literal["index"], BeforeValidator(parse_seeds)]


class SweepSettings(BaseModel):
    """The table ``[sweep]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind = "grid"
    seeds: Seeds = (1,)  # of each point; index: the point's number, so that each point has its own initial weights
    n: Annotated[int, Field(ge=1, le=100_000)] | None = None  # points in all; trials of a search
    seed: Annotated[int, Field(ge=0)] = 1  # of the draws
    objective: Objective = "final"  # of a search: the final evaluation, or the area under the curve of evaluations
    normalisation: Normalisation = "none"  # of scores in the objective, needed where a trial trains on several games
    sampler: Literal["tpe", "random", "sobol", "gp"] = "tpe"
    pruner: Literal["none", "median"] = "none"

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SweepSettings":
        if self.kind == "grid" and self.n is not None:
            raise ValueError("n is for random, sobol and optuna sweeps; a grid has as many points as [vary] gives")
        if self.kind != "grid" and self.n is None:
            raise ValueError(f"a sweep of kind {self.kind} needs n, its number of points in all")
        for name in ("objective", "normalisation", "sampler", "pruner"):
            if self.kind != "optuna" and name in self.model_fields_set:
                raise ValueError(f"{name} is for searches, of kind optuna")
        if self.seeds == INDEX and self.kind not in ("random", "sobol"):
            raise ValueError("seeds = 'index' is for random and sobol sweeps, whose points are numbered")
        return self


class Declaration(BaseModel):
    """A sweep as its file declares it; ``read`` and ``parse`` make one."""

    model_config = ConfigDict(frozen=True)

    sweep: SweepSettings
    base: dict[str, Any]  # flat: settings by dotted name
    choices: dict[tuple[str, ...], tuple[tuple[Any, ...], ...]]  # names that vary together, and their values
    ranges: dict[str, Range]
    exclude: tuple[dict[str, Any], ...]

    @property
    def varied(self) -> list[str]:
        """Return the names of the settings that vary, in the order of the file."""
        return [name for names in self.choices for name in names] + list(self.ranges)

    @property
    def cell_count(self) -> int | None:
        """Return the number of cells; None where ``[[exclude]]`` removes some, which needs the settings of each."""
        settings = self.sweep
        lists = {
            names: rows for names, rows in self.choices.items() if settings.kind != "optuna" or names == ENVIRONMENTS
        }
        seeds = 1 if settings.seeds == INDEX else len(settings.seeds)
        return None if self.exclude else math.prod(map(len, lists.values())) * (settings.n or 1) * seeds


def read(path: Path) -> Declaration:
    """Read and validate a file; raise InputError with its name."""
    try:
        return parse(config.read_toml(path))
    except InputError as error:
        text = str(error)
        raise InputError(text if str(path) in text else f"{path}: {text}") from None


def parse(table: Mapping[str, Any]) -> Declaration:
    """Validate the tables of a file; raise InputError that names the first mistake."""
    known = ("sweep", "base", "vary", "exclude")
    for name, value in table.items():
        if name not in known:
            raise InputError(f"A sweep has no table [{name}].{nearest(name, known)} It has [sweep], [base], [vary].")
        tables = value if name == "exclude" and isinstance(value, list) else [value]
        if (name == "exclude") != isinstance(value, list) or not all(isinstance(each, Mapping) for each in tables):
            raise InputError(f"{name} must be a table, written {'[[exclude]]' if name == 'exclude' else f'[{name}]'}.")
    settings = _settings(table.get("sweep", {}))
    base = config.flatten(table.get("base", {}))
    _check_names(base, "[base]")
    if "seed" in base:
        raise InputError("[base] has a seed; write seeds = … in [sweep] instead.")
    choices, ranges = _vary(table.get("vary", {}))
    for name in base:
        if name in ranges or any(name in names for names in choices):
            raise InputError(f"{name} is in [base] and in [vary]; it can be in one of them.")
    if ranges and settings.kind == "grid":
        name = next(iter(ranges))
        raise InputError(
            f'[vary] draws {name} from a range, which a grid cannot; write kind = "random" and n in [sweep].'
        )
    if not ranges and settings.kind in ("random", "sobol"):
        raise InputError(
            f"A sweep of kind {settings.kind} needs a range in [vary], such as {{low = 1e-4, high = 1e-2}}."
        )
    exclude = tuple(config.flatten(row) for row in table.get("exclude", []))
    if settings.kind == "optuna":
        _check_search(choices, ranges, bool(exclude))
    for row in exclude:
        _check_names(row, "[[exclude]]")
        if not row:
            raise InputError("[[exclude]] is empty, and would remove every cell.")
    return Declaration(sweep=settings, base=base, choices=choices, ranges=ranges, exclude=exclude)


def _check_search(choices: Mapping[tuple[str, ...], object], ranges: Mapping[str, Range], has_exclude: bool) -> None:
    if not ranges and not choices.keys() - {ENVIRONMENTS}:
        raise InputError("A search needs a setting in [vary] to search.")
    searched = [*ranges, *(name for names in choices for name in names)]
    if tasks := [name for name in searched if name.startswith(config.ARGUMENT)]:
        raise InputError(f"A search cannot vary {tasks[0]}, which changes the task; vary it in a grid.")
    for names in choices:
        if "env" in names and names != ENVIRONMENTS:
            raise InputError(
                f"[vary] links {', '.join(names)}, but each trial of a search is trained on every environment: "
                "write env = […] alone."
            )
    if has_exclude:
        raise InputError("[[exclude]] is for sweeps with a list of cells; a search has none.")


def _settings(table: Mapping[str, Any]) -> SweepSettings:
    for name in table:
        if name not in SweepSettings.model_fields:
            raise InputError(f"There is no setting {name!r} in [sweep].{nearest(name, SweepSettings.model_fields)}")
    try:
        return SweepSettings.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = reworded(first["msg"])
        raise InputError(
            f"In [sweep], {name} {message}; got {shown(first['input'])}." if name else f"In [sweep], {message}."
        ) from None


def _vary(table: Mapping[str, Any]) -> tuple[dict[tuple[str, ...], tuple[tuple[Any, ...], ...]], dict[str, Range]]:
    """Split ``[vary]`` into lists of values, also of linked names, and ranges."""
    choices: dict[tuple[str, ...], tuple[tuple[Any, ...], ...]] = {}
    ranges: dict[str, Range] = {}
    seen: set[str] = set()
    for key, value in _entries(table).items():
        names = tuple(name.strip() for name in key.split(","))
        _check_names(names, "[vary]")
        if "seed" in names:
            raise InputError("[vary] has a seed; write seeds = … in [sweep] instead.")
        for name in names:
            if name in seen or names.count(name) > 1:
                raise InputError(f"[vary] has {name} twice.")
        seen.update(names)
        if isinstance(value, Mapping):
            ranges[key] = Range.parse(key, value)
        elif isinstance(value, list) and value:
            choices[names] = tuple(_row(names, each) for each in value)
        else:
            raise InputError(
                f"[vary] takes a list of values, or a range {{low = …, high = …}}, for {key}; got {shown(value)}."
            )
    return choices, ranges


def _entries(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the entries of ``[vary]`` by dotted name; a table with ``low`` or ``high`` is a range, not a section."""
    entries: dict[str, Any] = {}
    for key, value in table.items():
        is_section = isinstance(value, Mapping) and not {"low", "high"} & set(value)
        entries |= _entries(value, f"{prefix}{key}.") if is_section else {f"{prefix}{key}": value}
    return entries


def _row(names: tuple[str, ...], value: Any) -> tuple[Any, ...]:
    """Return the values of linked names at one place of their list."""
    if len(names) == 1:
        return (value,)
    if not isinstance(value, list) or len(value) != len(names):
        raise InputError(
            f"[vary] links {', '.join(names)}: each of its values is a list of {len(names)}; got {shown(value)}."
        )
    return tuple(value)


def _check_names(names: Any, place: str) -> None:
    for name in names:
        if not config.is_setting(name):
            raise InputError(f"There is no setting {name!r} in {place}.{nearest(name, config.field_names())}")
