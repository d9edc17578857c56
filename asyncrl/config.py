"""The configuration of a run: its settings with their units and sources, and the functions that read and check them.

Values come from the defaults below, the preset for the kind of environment and the algorithm, a TOML file, and the
command line; a later source replaces an earlier one. Durations are in emulator *frames*, as in the paper.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import Field, ValidationError

from asyncrl.errors import InputError, nearest, shown
from asyncrl.setting_sections import Atari as Atari
from asyncrl.setting_sections import Checkpoints, Cluster, Evaluation, Exploration, Optimizer, Simulated, Workers
from asyncrl.setting_types import MAX_COUNT, MAX_SEED, Arguments, Frames, NotNegative, Seconds, Section, named, reworded
from asyncrl.system.files import read_regular

PresetName = Literal["paper", "fast"]
Clock = Literal["wall", "simulated"]
Channels = Literal["auto", "first", "last"]

ALGOS = ("one-step-q", "one-step-sarsa", "n-step-q", "a3c", "a2c")
PRESETS: tuple[str, ...] = get_args(PresetName)
CLOCKS: tuple[str, ...] = get_args(Clock)
TORSOS = ("nips", "nature", "compact", "minatar", "conv", "mlp")
TENSORBOARD = "tensorboard"
TRACKERS = (TENSORBOARD,)
ARGUMENT = "env_args."  # before the name of an argument of an environment
NETWORKS = (*TORSOS, "mlp-separate", *(f"{name}-lstm" for name in TORSOS))


class RunConfig(Section):
    """All settings of a run."""

    algo: Annotated[str, named(ALGOS)] = "a3c"  # one of ALGOS, or module:Learner
    clock: Clock = "wall"  # simulated: all actor-learners in one process, ordered by virtual time
    preset: PresetName = "paper"  # the values that replace the defaults; see presets.toml
    env: str = "pong"  # an Atari game, minatar/GAME, a Gymnasium id, or pkg.module:factory
    env_args: Arguments = Field(default={})  # keyword arguments of gymnasium.make, or of a user's factory
    channels: Channels = "auto"  # the axis of channels in an own environment's images; auto: by their sizes
    threads: Annotated[int, Field(ge=1, le=1024)] = 16  # actor-learners, by the wall clock one process each
    envs_per_thread: Annotated[int, Field(ge=1, le=1024)] = 1  # B; the paper's 1
    frames: Annotated[Frames, Field(gt=0)] = 10_000_000  # the budget, over all threads
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 1
    # one of NETWORKS, module:Network, or auto: chosen by the observation's shape
    network: str = "auto"
    initial_weights: Literal["uniform", "orthogonal"] = "uniform"  # ±1/√fan_in, as the authors' (e-mail)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.99
    t_max: Annotated[int, Field(ge=1, le=100_000)] = 5  # steps in a rollout; I_AsyncUpdate of the one-step methods
    target_frames: Annotated[Frames, Field(gt=0)] = 40_000  # I_target, value methods only
    entropy: NotNegative = 0.01  # β, policy methods only
    value_weight: NotNegative = 0.5  # of ½(R−V)²: the gradient of V is halved
    averaging: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 0  # updates in the average of θ that is evaluated; 0: θ
    # of the rows of metrics, in the parent process: names of TRACKERS, or module:factory
    trackers: Annotated[tuple[Annotated[str, named(TRACKERS)], ...], Field(strict=False, max_length=16)] = ()
    log_seconds: Seconds = 5.0  # between rows of metrics
    profile: bool = False  # whether metrics hold the time of each phase of the workers' loop
    optimizer: Optimizer = Optimizer()
    exploration: Exploration = Exploration()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    workers: Workers = Workers()
    atari: Atari = Atari()
    simulated: Simulated = Simulated()
    cluster: Cluster = Cluster()

    @property
    def is_simulated(self) -> bool:
        """Return whether the run is in simulated time."""
        return self.clock == "simulated"


def with_periods(config: RunConfig) -> RunConfig:
    """Return the configuration with the frames between evaluations and checkpoints that a run will use."""
    parts = {"evaluation": 10, "checkpoints": 50 if config.is_simulated else 10}
    every = {name: {"every": getattr(config, name).every or max(1, config.frames // n)} for name, n in parts.items()}
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in every.items()}
    return config.model_copy(update=sections)


def with_barriers(config: RunConfig) -> RunConfig:
    """Return the settings of a new run: a simulated one keeps the frames between its barriers with any budget."""
    return (
        config.model_copy(update={"checkpoints": with_periods(config).checkpoints}) if config.is_simulated else config
    )


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


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse of ``flatten``: a nested table."""
    table: dict[str, Any] = {}
    for name, value in flat.items():
        for key in reversed(name.split(".")):
            value = {key: value}
        table = merge(table, value)
    return table


def parse_set(assignments: Iterable[str], option: str = "--set optimizer.lr=1e-3") -> dict[str, Any]:
    """Convert assignments such as ``optimizer.lr=1e-3`` to a nested table; a value is TOML, or text without quotes.

    ``option`` is an example of the option that takes them, for messages.
    """
    table: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{option.split()[0]} takes NAME=VALUE, as in {option}; got {shown(assignment)}.")
        table = merge(table, nested({name.strip(): _toml_value(text)}))
    return table


def _toml_value(text: str) -> Any:
    """Return a value of TOML, or the text itself where it is none."""
    try:
        loaded = tomllib.loads(f"x = {text}")
    # ValueError: not TOML, or a number of thousands of digits
    except (ValueError, RecursionError):
        return text.strip()
    return loaded["x"] if len(loaded) == 1 else text.strip()


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file, or that of a link; raise InputError where it cannot be read, or is not TOML."""
    try:
        return tomllib.loads(read_regular(Path(os.path.realpath(path, strict=True)), limit=1 << 24).decode())
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply.") from None
    # not TOML, not UTF-8, or a number of thousands of digits
    except ValueError as error:
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
        return f"There is no setting {shown(name)}.{nearest(name, field_names())}"
    got = first["input"]
    if first["type"] == "literal_error":
        choices = first["ctx"]["expected"].replace("'", "")
        near = nearest(got, re.split(", | or ", choices)) if isinstance(got, str) else ""
        return f"{name} is {shown(got)}; it can be {choices}.{near}"
    return f"{name or 'A name'} {reworded(first['msg'])}; got {shown(got)}."


def is_setting(name: str) -> bool:
    """Return whether there is a setting of this dotted name; each argument of an environment is one."""
    return name in field_names() or name.startswith(ARGUMENT)


def field_names() -> list[str]:
    """Return every setting's dotted name, such as ``optimizer.lr``; ``env_args.NAME`` stands for all arguments."""
    names = []
    for name, field in RunConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            names += [f"{name}.{inner}" for inner in section.model_fields]
        else:
            names.append(f"{ARGUMENT}NAME" if f"{name}." == ARGUMENT else name)
    return names
