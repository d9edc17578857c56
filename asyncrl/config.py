"""The configuration of a run: its settings with their units and sources, and the functions that read and check them.

Values come from the defaults below, the preset for the kind of environment and the algorithm, a TOML file, and the
command line; a later source replaces an earlier one. Durations are in emulator *frames*, as in the paper.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from asyncrl.errors import InputError, nearest

Algo = Literal["one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c"]
PresetName = Literal["paper", "fast"]

ALGOS: tuple[str, ...] = get_args(Algo)
PRESETS: tuple[str, ...] = get_args(PresetName)
TORSOS = ("nips", "nature", "mlp")
NETWORKS = (*TORSOS, *(f"{name}-lstm" for name in TORSOS))


def parse_frames(text: object) -> object:
    """Convert ``10M``, ``4e6``, ``500k`` or ``1_000`` to a number; leave other values for pydantic to refuse."""
    if isinstance(text, str) and (match := re.fullmatch(r"([\d._]+(?:e\d+)?)([kMG]?)", text.strip(), re.IGNORECASE)):
        number = float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[match[2].lower()]
        return int(number) if number.is_integer() else number
    return int(text) if isinstance(text, float) and text.is_integer() else text


def parse_none(text: object) -> object:
    """Convert the text ``none`` to None, which TOML cannot write."""
    return None if text == "none" else text


Frames = Annotated[int, BeforeValidator(parse_frames)]
OptionalFrames = Annotated[Annotated[Frames, Field(gt=0)] | None, BeforeValidator(parse_none)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimizer(Section):
    """The optimizer, from supplement 7 and the authors' e-mails."""

    name: Literal["shared-rmsprop", "rmsprop", "momentum", "adam"] = "shared-rmsprop"
    lr: Positive = 7e-4  # annealed linearly to 0 (Setup B)
    anneal: bool = True
    anneal_frames: OptionalFrames = None  # frames until lr is 0; None: the budget
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of g, and of the momentum
    eps: Positive = 0.1  # inside the root
    clip: Annotated[Positive | None, BeforeValidator(parse_none)] = 40.0  # norm of the whole gradient; "none": never


class Exploration(Section):
    """Exploration of ε-greedy actor-learners: each draws its own final ε (Setup A)."""

    final: tuple[Fraction, ...] = (0.1, 0.01, 0.5)
    probability: tuple[Fraction, ...] = (0.4, 0.3, 0.3)
    anneal_frames: Annotated[Frames, Field(ge=0)] = 4_000_000  # global frames, from ε = 1

    @model_validator(mode="after")
    def _one_probability_each(self) -> "Exploration":
        if len(self.final) != len(self.probability) or abs(sum(self.probability) - 1) > 1e-6:
            raise ValueError("final and probability need one entry each, the probabilities summing to 1")
        return self


class Evaluation(Section):
    """Evaluation of a snapshot by whole episodes with unclipped rewards, while training is paused."""

    every: OptionalFrames = None  # frames; None: a tenth of the run
    episodes: Annotated[int, Field(ge=0)] = 10  # 0: never evaluate
    epsilon: Fraction = 0.01  # of value methods; a policy samples its actions


class Checkpoints(Section):
    """When checkpoints are saved, besides the one at the end of training."""

    every: OptionalFrames = None  # frames; None: a tenth of the run
    keep: Annotated[int, Field(ge=2)] = 3  # the newest checkpoints, besides the best one
    patience_seconds: Positive = 600.0  # of failed checkpoints, as on a full disk, before the run fails


class Workers(Section):
    """When worker processes that fail or hang are replaced."""

    restarts: Annotated[int, Field(ge=0)] = 10  # of one worker within ten minutes; one more ends the run
    hang_seconds: Positive = 60.0  # without a rollout; or the usual time of 50 rollouts, if longer


class Atari(Section):
    """The Atari protocol; other environments ignore it."""

    protocol: Literal["paper", "sticky"] = "paper"
    noops: Annotated[int, Field(ge=0)] = 30  # the maximum at the start of an episode
    max_frames: Annotated[Frames, Field(gt=0)] = 108_000  # half an hour; a longer episode is truncated


class RunConfig(Section):
    """All settings of a run."""

    algo: Algo = "a3c"
    preset: PresetName = "paper"  # the values that replace the defaults; see presets.toml
    env: str = "pong"  # an Atari game, a Gymnasium id, or pkg.module:factory
    threads: Annotated[int, Field(ge=1, le=1024)] = 16  # actor-learners, one process each
    envs_per_thread: Annotated[int, Field(ge=1, le=1024)] = 1  # B; the paper's 1
    frames: Annotated[Frames, Field(gt=0)] = 10_000_000  # the budget, over all threads
    seed: Annotated[int, Field(ge=0)] = 1
    network: str = "auto"  # one of NETWORKS, or auto: chosen by the observation's shape
    initial_weights: Literal["uniform", "orthogonal"] = "uniform"  # ±1/√fan_in, as the authors' (e-mail)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    t_max: Annotated[int, Field(ge=1)] = 5  # steps in a rollout; I_AsyncUpdate of the one-step methods
    target_frames: Annotated[Frames, Field(gt=0)] = 40_000  # I_target, value methods only
    entropy: Annotated[float, Field(ge=0)] = 0.01  # β, policy methods only
    value_weight: Annotated[float, Field(ge=0)] = 0.5  # of ½(R−V)²: the gradient of V is halved
    averaging: Annotated[int, Field(ge=0)] = 0  # updates in the running average of θ for evaluations; 0: evaluate θ
    log_seconds: Positive = 5.0  # between rows of metrics
    profile: bool = False  # whether metrics hold the time of each phase of the workers' loop
    optimizer: Optimizer = Optimizer()
    exploration: Exploration = Exploration()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    workers: Workers = Workers()
    atari: Atari = Atari()

    @property
    def is_policy_method(self) -> bool:
        """Return whether actions are sampled from a policy; otherwise they are ε-greedy over action values."""
        return self.algo in ("a3c", "a2c")


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables; a value of a later one replaces that of an earlier one."""
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
    """Convert assignments such as ``optimizer.lr=1e-3`` to a nested table; a value is TOML, or text without quotes."""
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
    """Read a configuration file; raise InputError where it cannot be read, or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from None


def build(table: Mapping[str, Any]) -> RunConfig:
    """Validate a nested table; raise InputError that names the first wrong setting, and the nearest valid name."""
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        raise InputError(_explain(error)) from None


def to_toml(config: RunConfig) -> str:
    """Write a configuration as the TOML that ``--config`` reads."""
    return tomli_w.dumps(_replace_none(config.model_dump(mode="json"))).rstrip()


def _replace_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace None, which TOML cannot write, by the text ``none``."""
    return {
        key: _replace_none(value) if isinstance(value, Mapping) else "none" if value is None else value
        for key, value in table.items()
    }


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
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            names += [f"{name}.{inner}" for inner in section.model_fields]
        else:
            names.append(name)
    return names
