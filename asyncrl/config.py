"""A run's configuration: every number with its unit and source, and where the values come from.

Values are taken from the defaults below, then the preset for the kind of environment and the method, then a TOML file,
then the command line, each over the last. Everything that counts time here counts emulator *frames*, as the paper does.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from asyncrl.errors import InputError, nearest

ALGOS = ("one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c")
NETWORKS = ("nips", "nature", "mlp", "nips-lstm", "nature-lstm", "mlp-lstm")


def parse_frames(text: object) -> object:
    """Read ``10M``, ``4e6``, ``500k`` or ``1_000`` as a number; anything else is returned for pydantic to refuse."""
    if isinstance(text, str) and (match := re.fullmatch(r"([\d._]+(?:e\d+)?)([kMG]?)", text.strip(), re.IGNORECASE)):
        number = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()]
        return int(number) if number.is_integer() else number
    return int(text) if isinstance(text, float) and text.is_integer() else text


def parse_none(text: object) -> object:
    """Read ``none``, for which TOML has no word."""
    return None if text == "none" else text


Frames = Annotated[int, BeforeValidator(parse_frames)]
Every = Annotated[Annotated[Frames, Field(gt=0)] | None, BeforeValidator(parse_none)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen set of fields that knows no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimizer(Part):
    """Supplement 7 and the authors' e-mails."""

    name: Literal["shared-rmsprop", "rmsprop", "momentum", "adam"] = "shared-rmsprop"
    lr: Positive = 7e-4  # annealed linearly to 0 (Setup B)
    anneal: bool = True
    anneal_frames: Annotated[Annotated[Frames, Field(gt=0)] | None, BeforeValidator(parse_none)] = (
        None  # None: the budget
    )
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of g, and of the momentum
    eps: Positive = 0.1  # inside the root
    clip: Annotated[Positive | None, BeforeValidator(parse_none)] = 40.0  # norm of the whole gradient; "none": never


class Exploration(Part):
    """ε-greedy actor-learners: each draws its own final ε (Setup A)."""

    final: tuple[Fraction, ...] = (0.1, 0.01, 0.5)
    probability: tuple[Fraction, ...] = (0.4, 0.3, 0.3)
    anneal_frames: Annotated[Frames, Field(ge=0)] = 4_000_000  # global frames, from ε = 1

    @model_validator(mode="after")
    def _one_probability_each(self) -> "Exploration":
        if len(self.final) != len(self.probability) or abs(sum(self.probability) - 1) > 1e-6:
            raise ValueError("final and probability need one entry each, the probabilities summing to 1")
        return self


class Evaluation(Part):
    """Whole unclipped games from a snapshot, while the workers and their clock stand still."""

    every: Every = None  # frames; None: a tenth of the run
    episodes: Annotated[int, Field(ge=0)] = 10  # 0: never evaluate
    epsilon: Fraction = 0.01  # value methods only; policies are sampled


class Checkpoints(Part):
    """When the run is saved; it always is when it stops."""

    every: Every = None  # frames; None: a tenth of the run
    keep: Annotated[int, Field(ge=2)] = 3  # the newest ones, besides the best
    patience_seconds: Positive = 600.0  # without one that was due, as on a full disk, before the run ends


class Workers(Part):
    """What becomes of actor-learners that fail or hang: another process takes their place."""

    restarts: Annotated[int, Field(ge=0)] = 10  # of one worker within ten minutes; after that the run ends
    hang_seconds: Positive = 60.0  # without a rollout, or as long as 50 usually take, if that is longer


class Atari(Part):
    """The Atari protocol; ignored elsewhere."""

    protocol: Literal["paper", "sticky"] = "paper"
    noops: Annotated[int, Field(ge=0)] = 30  # at most so many at a start
    max_frames: Annotated[Frames, Field(gt=0)] = 108_000  # a cap of half an hour, counted as truncation


class RunConfig(Part):
    """Everything that decides what a run does."""

    algo: Literal["one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c"] = "a3c"
    preset: Literal["paper", "fast"] = "paper"  # which values stand under the user's own; see presets.toml
    env: str = "pong"  # a game, a Gymnasium id, or pkg.module:factory
    threads: Annotated[int, Field(ge=1, le=1024)] = 16  # actor-learners, one process each
    envs_per_thread: Annotated[int, Field(ge=1, le=1024)] = 1  # B; the paper's 1
    frames: Annotated[Frames, Field(gt=0)] = 10_000_000  # the budget, over all threads
    seed: Annotated[int, Field(ge=0)] = 1
    network: str = "auto"  # one of NETWORKS, or auto: by the observation's shape
    initial_weights: Literal["uniform", "orthogonal"] = "uniform"  # ±1/√fan_in, as the authors' (e-mail)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    t_max: Annotated[int, Field(ge=1)] = 5  # steps in a rollout; I_AsyncUpdate of the one-step methods
    target_frames: Annotated[Frames, Field(gt=0)] = 40_000  # I_target, value methods only
    entropy: Annotated[float, Field(ge=0)] = 0.01  # β, policy methods only
    value_weight: Annotated[float, Field(ge=0)] = 0.5  # of ½(R−V)²: the gradient of V is halved
    averaging: Annotated[int, Field(ge=0)] = 0  # updates in the running average of θ that is evaluated; 0: θ itself
    log_seconds: Positive = 5.0  # between rows of metrics
    profile: bool = False  # whether those rows say where the workers' time goes
    optimizer: Optimizer = Optimizer()
    exploration: Exploration = Exploration()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    workers: Workers = Workers()
    atari: Atari = Atari()

    @property
    def is_policy_method(self) -> bool:
        """Whether the learner samples from a policy rather than being ε-greedy over values."""
        return self.algo in ("a3c", "a2c")


@cache
def _presets() -> dict[str, Any]:
    return tomllib.loads(files("asyncrl").joinpath("presets.toml").read_text())


def preset(name: str, kind: str, algo: str) -> dict[str, Any]:
    """Return what a preset changes for a kind of environment (``atari``, ``vector``, ``continuous``) and a method.

    ``fast`` starts from ``paper`` and changes only what its own block names.
    """
    layers = [_presets()["paper"].get(kind, {})]
    if name != "paper":
        layers.append(_presets()[name].get(kind, {}))
    merged: dict[str, Any] = {}
    for block in layers:
        general = {key: value for key, value in block.items() if key not in ALGOS}
        merged = merge(merged, general, block.get(algo, {}))
    return merged


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested tables over each other, the later ones on top."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"optimizer.lr": …}`` for ``{"optimizer": {"lr": …}}``."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def parse_set(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``optimizer.lr=1e-3`` as a nested table; the value is TOML, or a bare word."""
    table: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set takes NAME=VALUE, as in --set optimizer.lr=1e-3; got {assignment!r}.")
        try:
            value = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        for key in reversed(name.strip().split(".")):
            value = {key: value}
        table = merge(table, value)
    return table


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file; raise InputError where it cannot be."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from None


def build(table: Mapping[str, Any]) -> RunConfig:
    """Validate a nested table; raise InputError that names the first field that is wrong, and the nearest right one."""
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        raise InputError(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r}.{nearest(name, field_names())}"
    got = first["input"]
    if first["type"] == "literal_error" and isinstance(got, str):
        choices = first["ctx"]["expected"].replace("'", "")
        return f"{name} is {got!r}; it can be {choices}.{nearest(got, re.split(', | or ', choices))}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{name} {message}; got {got!r}." if name else f"{message}."


def field_names() -> list[str]:
    """Return every setting's dotted name, such as ``optimizer.lr``."""
    names = []
    for name, field in RunConfig.model_fields.items():
        parts = field.annotation
        nested = isinstance(parts, type) and issubclass(parts, Part)
        names += [f"{name}.{inner}" for inner in parts.model_fields] if nested else [name]  # type: ignore[union-attr]
    return names
